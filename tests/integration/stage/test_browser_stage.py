"""The stage of `demo --web` in a browser: by mouse, by keyboard, and while its buttons kill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.axe import axe_source, requires_axe
from tests.support.chromium import Chromium, requires_chromium
from tests.support.stages import Stage, StagePage

pytestmark = [requires_chromium, pytest.mark.extended]

_NUMBERS = count(1)
_KILLS = 20
_PROCESSES = ("worker", "gateway-1", "gateway-2")
_SENT, _SHOWN = (f"document.getElementById('{name}').textContent" for name in ("sent", "shown"))
_HOSTILE = (
    "<img src=x onerror=parent.postMessage({galaxyNotify:'rang',id:'x'},'*')>",
    "<script>document.title='run'</script>",
    "\u202eright to left</strong></li>&amp;&lt;${1+1}{{7*7}}",
    'javascript:alert(1)//"onfocus="document.title=\'run\'" autofocus=',
)


@pytest.fixture(params=[(360, False), (360, True), (1280, False), (1280, True)], ids=str)
def page(
    request: pytest.FixtureRequest, chromium: Chromium, profile: str, stage: Stage
) -> Iterator[StagePage]:
    """Give the page of the stage, small and wide, light and dark."""
    width, dark = request.param
    made = StagePage(chromium, profile, width=width, dark=dark)
    made.watch(stage)
    yield made
    made.close()


@pytest.fixture
def wide(chromium: Chromium, profile: str, stage: Stage) -> Iterator[StagePage]:
    """Give the page of the stage as most see it."""
    made = StagePage(chromium, profile, width=1280, dark=False)
    made.watch(stage)
    yield made
    made.close()


def _title() -> str:
    return f"Message {next(_NUMBERS)}"


def _line(title: str) -> str:
    """Return an expression: the line of a bell with this title."""
    wanted = json.dumps(title)
    lines = "[...document.querySelectorAll('#list li')]"
    return f"{lines}.find((line) => line.querySelector('strong').textContent === {wanted})"


def _fill(page: StagePage, title: str) -> None:
    page.click("[name=title]")
    page.evaluate("document.querySelector('[name=title]').select()")
    page.type(title)


def _counts_are(page: StagePage, sent: int) -> None:
    page.wait(f"document.getElementById('shown').textContent === '{sent}'")
    expected = {"sent": sent, "shown": sent, "waiting": 0, "repeated": 0, "lost": 0}
    assert page.tally == expected


def _read_in_time(page: StagePage) -> tuple[str, int]:
    """Notify both, and read it in Ada's bell before it is e-mailed, however often that takes.

    Return the title of what was read in time, and how many were sent.
    """
    for sent in count(1):
        title = _title()
        _fill(page, title)
        page.click(".go")
        for user in ("ada", "grace"):
            page.wait(f"{_line(title)}?.className.includes('unread')", user)
        page.bell("ada", f"{_line(title)}.id = 'mine-{sent}'")
        page.click(f"#mine-{sent} .mark", "ada")
        page.wait(f"!{_line(title)}.classList.contains('unread')", "ada")
        of_ada = f"""[...document.querySelectorAll('.route')].map((line) => line.innerText)
            .find((text) => text.includes({json.dumps(title)}) && text.includes('e-mail · Ada'))"""
        page.wait(f"/read in time|e-mailed \\d+ ms/.test({of_ada})")
        if "read in time: no e-mail" in page.evaluate(of_ada):
            return title, sent
    raise AssertionError("count() ends never")


def test_stage__by_mouse(page: StagePage) -> None:
    """Both are notified; who reads it is not e-mailed, and who does not is."""
    page.click("[name=email]")
    title, sent = _read_in_time(page)
    page.wait("document.getElementById('badge').textContent >= '1'", "grace")
    mails = "document.querySelector('.{}.person .mails').innerText"
    page.wait(f"{mails.format('grace')}.includes({json.dumps(title)})")
    assert title not in page.evaluate(mails.format("ada"))
    page.click("#all", "grace")
    page.wait("document.getElementById('badge').hidden", "grace")
    assert page.bell("grace", "document.querySelectorAll('li.unread').length") == 0
    _counts_are(page, 2 * sent)
    assert page.problems == []


def test_stage__by_keyboard(page: StagePage) -> None:
    """Everything is reached by the tab key: the form, a bell, a button that kills."""
    title = _title()
    page.tab_to("[name=to]")
    page.press("ArrowLeft")  # from both to Grace
    page.tab_to("[name=in_s]")
    page.press("ArrowRight")  # in 10 s
    page.tab_to("[name=title]")
    page.evaluate("document.activeElement.select()")
    page.type(title)
    page.tab_to("[name=urgent]")
    page.press(" ")
    page.tab_to(".go")
    page.press("Enter")
    page.wait("document.getElementById('waiting').textContent === '1'")
    page.wait("document.getElementById('said').textContent.includes('due in 10 seconds')")
    page.wait("document.getElementById('routes').innerText.includes('due in')")
    page.tab_to("[data-process=gateway-1]")
    page.press("Enter")
    page.wait("document.getElementById('broken').textContent.includes('Gateway 1 works again')")
    page.wait(f"{_line(title)}?.className.includes('urgent')", "grace")
    assert page.bell("ada", f"{_line(title)} === undefined")
    page.tab_to("#list li:first-child .mark", "grace")
    page.press("Enter")
    page.wait(f"!{_line(title)}.classList.contains('unread')", "grace")
    # The line is where it was, and so is the focus.
    assert page.bell("grace", "document.activeElement.matches('#list li:first-child .mark')")
    _counts_are(page, 1)
    assert page.problems == []


@requires_axe
def test_stage__hides_nothing_from_anybody(page: StagePage) -> None:
    """axe-core finds nothing on the page or in the bells, where all of their parts are shown."""
    page.click("[name=urgent]")
    page.click("[name=email]")
    page.click(".go")
    page.wait("document.getElementById('shown').textContent === '2'")
    page.wait("document.querySelector('.ada.person .mail') !== null")
    source = axe_source()
    assert page.audit(source) == []
    for user in ("ada", "grace"):
        page.wait("document.querySelector('li.unread.urgent') !== null", user)
        assert page.audit(source, user) == []
    # Nothing is wider than the window.
    room = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(room)
    assert page.bell("ada", room)


def test_hostile_texts__are_shown_and_never_run(wide: StagePage) -> None:
    """What a title and a body say is text: on the board, in the bells, in e-mails."""
    wide.click("[name=email]")
    for sent, text in enumerate(_HOSTILE, 1):
        for field in ("title", "body"):
            wide.evaluate(f"document.querySelector('[name={field}]').value = {json.dumps(text)}")
        wide.click(".go")
        wide.wait(f"document.getElementById('shown').textContent === '{2 * sent}'")
        for user in ("ada", "grace"):
            wide.wait(f"{_line(text)} !== undefined", user)
            body = f"{_line(text)}.querySelector('p').textContent"
            assert wide.bell(user, body) == text
    everywhere = "document.querySelectorAll('script:not([src]), [onerror], [onfocus], img[src=x]')"
    mails = "[...document.querySelectorAll('.grace .mail strong')].map((one) => one.textContent)"
    wide.wait(f"{mails}.includes({json.dumps(_HOSTILE[-1])})")
    assert wide.evaluate(f"{everywhere}.length") == 0
    for user in ("ada", "grace"):
        assert wide.bell(user, f"{everywhere}.length") == 0
        assert wide.bell(user, "document.title").endswith("Notifications")
    assert wide.evaluate("document.title") == "galaxy-notify: the stage"
    _counts_are(wide, 2 * len(_HOSTILE))
    assert wide.problems == []


def test_kills__lose_and_repeat_nothing(wide: StagePage) -> None:
    """Each button kills 20 times while five notifications a second are sent to each."""
    starts = "Number(document.querySelector('li:has([data-process={0}])').dataset.starts)"
    ready = "document.querySelector('[data-process={0}]').getAttribute('aria-disabled') === 'false'"
    begun = {name: wide.evaluate(starts.format(name)) for name in _PROCESSES}
    wide.click("#load")
    for kill in range(1, _KILLS + 1):
        for name in _PROCESSES:
            wide.wait(ready.format(name))
            wide.click(f"[data-process={name}]")
            wide.wait(f"{starts.format(name)} >= {begun[name] + kill}")
    for user in ("ada", "grace"):
        wide.wait(f"document.querySelector('.{user}.person').dataset.state === 'live'")
    wide.click("#load")
    wide.wait(f"{_SENT} === {_SHOWN}")
    found = wide.tally
    assert (found["repeated"], found["lost"]) == (0, 0)
    assert found["sent"] == found["shown"] > 2 * _KILLS
    assert wide.problems == []
