"""The browser client against gateways that send what a real one never would."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.chromium import Chromium, requires_chromium
from tests.support.pages import Site, Tab
from tests.support.scripted_gateway import HOLD, hello, message, notification, scripted_gateway
from tests.support.wait import wait_until

pytestmark = requires_chromium

BYE = message("bye", reason="rotate", retry_ms=0)


def test_stream__cut_anywhere_and_with_other_line_ends(
    chromium: Chromium, profile: str, site: Site
) -> None:
    """A byte at a time, with CR, comments, unknown fields and messages, and text beyond ASCII."""
    sent = b"\xef\xbb\xbf: a comment\r" + hello("e.1.aaaa").replace(b"\n", b"\r")
    sent += notification("e.2.bbbb", 2).replace(b"\n", b"\r\n")
    sent += b"event: unknown\ndata: {}\n\n" + b"other: field\n\n" + b"retry: never\n\n"
    sent += message("message", type="typing", data="\u00e9\U0001f680")
    sent += 'event: message\ndata: {"type":"t",\ndata: "data":"é🚀"}\n\n'.encode()
    pieces = [sent[at : at + 1] for at in range(len(sent))]
    with scripted_gateway(pieces) as gateway:
        tab = Tab(chromium, profile, site.page(gateway.url, "u1"))
        tab.wait(lambda: len(tab.all("message")) == 2, "both messages are given")
        assert tab.numbers == [2]
        assert [value["data"] for value in tab.all("message")] == ["é🚀", "é🚀"]
        assert len(gateway.cursors) == 1


def test_hole__is_asked_for_again(chromium: Chromium, profile: str, site: Site) -> None:
    """An event is missing: the client comes back with its cursor, and is sent what was missing."""
    first = [hello("e.1.aaaa"), notification("e.2.bbbb", 2), notification("e.4.dddd", 4)]
    second = [hello("e.2.bbbb", resumed=True)]
    second += [notification(f"e.{n}.cccc", n) for n in (3, 4)]
    with scripted_gateway(first, second) as gateway:
        tab = Tab(chromium, profile, site.page(gateway.url, "u1"))
        tab.wait_for(4)
        assert gateway.cursors == ["", "e.2.bbbb"]
        assert tab.numbers == [2, 3, 4]
        assert tab.all("reset") == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("e.5.ffff", "trimmed"),
        ("e.2.ffff", "rolled_back"),
        ("e.1.aaaa", "rolled_back"),
        ("f.3.aaaa", "rolled_back"),
    ],
    ids=["hole", "another event at the offset", "lower offset", "another epoch"],
)
def test_event__that_never_follows_is_a_reset(
    chromium: Chromium, profile: str, site: Site, place: str, reason: str
) -> None:
    """Asked again, the gateway sends it all the same: events may be missing."""
    epoch, offset, _ = place.split(".")
    behind = f"{epoch}.{int(offset) + 1}.abab"
    first = [hello("e.1.aaaa"), notification("e.2.bbbb", 2), notification(place, 7)]
    again = [hello("e.2.bbbb", resumed=True), notification(place, 7), notification(behind, 8)]
    with scripted_gateway(first, again) as gateway:
        tab = Tab(chromium, profile, site.page(gateway.url, "u1"))
        tab.wait(lambda: tab.all("reset"), "the page is reset")
        assert tab.all("reset") == [{"reason": reason, "cursor": place}]
        tab.wait(lambda: len(tab.all("notification")) == 2, "what is behind the reset is shown")
        assert [value["data"]["number"] for value in tab.all("notification")] == [2, 8]
        assert gateway.cursors == ["", "e.2.bbbb"]


def test_reset__that_was_cut_off_is_not_forgotten(
    chromium: Chromium, profile: str, site: Site
) -> None:
    """The connection broke between the `hello` and the `reset` behind it: it is asked again."""
    first = [hello("e.1.aaaa"), notification("e.2.bbbb", 2), BYE, b""]
    cut_off = [hello("f.9.aaaa"), BYE, b""]
    last = [hello("f.9.aaaa"), message("reset", reason="unknown", cursor="f.9.aaaa")]
    last += [notification("f.10.cccc", 10)]
    with scripted_gateway(first, cut_off, last) as gateway:
        tab = Tab(chromium, profile, site.page(gateway.url, "u1"))
        tab.wait(lambda: len(tab.all("notification")) == 2, "the stream goes on")
        assert tab.all("reset") == [{"reason": "unknown", "cursor": "f.9.aaaa"}]
        assert gateway.cursors == ["", "e.2.bbbb", "e.2.bbbb"]


def test_notification__comes_once_also_after_a_reload(
    chromium: Chromium, profile: str, site: Site
) -> None:
    """A notification that was published again has a new offset and its own id: it is not shown."""
    first = [
        hello("0.0.0"),
        notification("e.1.aaaa", 1, "same"),
        notification("e.2.bbbb", 2, "same"),
    ]
    first += [message("retract", "e.3.cccc", notification_id="same", offset=3)]
    second = [hello("e.3.cccc", resumed=True), notification("e.4.dddd", 4, "same")]
    second += [notification("e.5.eeee", 5)]
    with scripted_gateway(first, second) as gateway:
        tab = Tab(chromium, profile, site.page(gateway.url, "u1"))
        tab.wait(lambda: tab.all("retract"), "the retraction is given")
        wait_until(lambda: "e.3." in str(tab.stored), "the cursor is kept")
        tab.reload()
        tab.wait_for(5)
        assert tab.numbers == [1, 5]
        assert gateway.cursors == ["", "e.3.cccc"]


def test_counts_and_status__are_given_as_they_come(
    chromium: Chromium, profile: str, site: Site
) -> None:
    """Counts of the first message and newer ones, also of a restored feed; lateness is a state."""
    counts = [
        {"unread": version, "unseen": epoch, "version": version, "epoch": epoch}
        for version, epoch in ((1, 1), (2, 1), (1, 2))
    ]
    first = message("hello", "e.1.aaaa", cursor="e.1.aaaa", resumed=False, counts=counts[0])
    rest = [message("counts", **counts[number]) for number in (0, 1, 0, 2, 1)]
    rest += [message("status", live=False), message("status", live=True)]
    with scripted_gateway([first, *rest]) as gateway:
        tab = Tab(chromium, profile, site.page(gateway.url, "u1")).live(2)
        assert tab.all("counts") == counts
        assert tab.states == ["live", "late", "live"]
        assert [value["live"] for value in tab.all("status")] == [True, False, True]


def test_refusals__are_outlived(chromium: Chromium, profile: str, site: Site) -> None:
    """Any status but 200, a stream that ends at once: the client comes back with a new token."""
    script: list[Any] = [401, 503, [b"retry: 0\n\n", b""], [hello("e.1.aaaa")]]
    with scripted_gateway(*script) as gateway:
        tab = Tab(chromium, profile, site.page(gateway.url, "u1")).live()
        assert tab.reasons == ["unauthorized", "network"]
        assert site.tokens["u1"] == len(gateway.bearers) + 1


def test_pauses__are_what_the_gateway_asks_and_longer_after_failures(
    chromium: Chromium, profile: str, site: Site
) -> None:
    """Exactly `retry_ms` after a `bye`; then random times of up to 2, 4 s more. No wait is real."""
    bye = message("bye", reason="slow", retry_ms=12_345)
    quick = """
        const wait = setTimeout;
        window.waits = [];
        window.setTimeout = (run, ms) => {
          waits.push(ms);
          return wait(run, ms < 3600000 ? 0 : ms);
        };
    """
    with scripted_gateway([hello("e.1.aaaa"), bye, b""], 503, 503, [hello("e.1.aaaa")]) as gateway:
        address = site.page(gateway.url, "u1", silence=3_600_000)
        tab = Tab(chromium, profile, address, quick).live(2)
        pauses = [ms for ms in tab.evaluate("waits") if 12_345 <= ms < 3_600_000]
        assert tab.reasons == ["slow", "network"]
    assert pauses[0] == 12_345
    for pause, most in zip(pauses[1:], (2000, 4000), strict=True):
        assert 12_345 <= pause <= 12_345 + most


def test_silence__is_a_lost_connection(chromium: Chromium, profile: str, site: Site) -> None:
    """Nothing comes, not even a comment: the client comes back with its cursor."""
    silent = [hello("e.1.aaaa"), notification("e.2.bbbb", 2)]
    with scripted_gateway(silent, [hello("e.2.bbbb", resumed=True), BYE]) as gateway:
        tab = Tab(chromium, profile, site.page(gateway.url, "u1", silence=1000))
        tab.wait(lambda: "silent" in tab.reasons, "the connection counts as lost")
        # On a busy machine even the first answer may seem to be lost.
        wait_until(lambda: "e.2.bbbb" in gateway.cursors[1:], "the client comes back")


def test_logout__ends_the_client(chromium: Chromium, profile: str, site: Site) -> None:
    """It does not come back, and forgets its place."""
    bye = message("bye", reason="logout", retry_ms=0)
    with scripted_gateway([hello("e.1.aaaa"), bye, b""]) as gateway:
        tab = Tab(chromium, profile, site.page(gateway.url, "u1"))
        tab.wait(lambda: tab.states[-1:] == ["closed"], "the client ends")
        assert (tab.reasons, tab.stored) == (["logout"], [])
        assert gateway.cursors == [""]


def test_logout__ends_a_tab_that_has_just_begun_to_read_for_all(
    chromium: Chromium, profile: str, site: Site
) -> None:
    """The lock of the tab that was sent the `bye` may come to the next one before its message."""
    report = "new BroadcastChannel(all.held[0].name).postMessage({ kind: 'bye' })"
    with scripted_gateway([hello("e.1.aaaa")]) as gateway:
        tab = Tab(chromium, profile, site.page(gateway.url, "u1")).live()
        assert tab.leads
        tab.evaluate(f"navigator.locks.query().then((all) => {report})")
        tab.wait(lambda: tab.states[-1] == "closed", "the tab ends")
        assert (tab.reasons, tab.stored) == (["logout"], [])


def test_tabs__are_given_all_kinds_of_messages(
    chromium: Chromium, profile: str, site: Site
) -> None:
    """What one tab reads comes to the other one as well: also what has no place and is not kept."""
    counts = [{"unread": n, "unseen": n, "version": n, "epoch": 1} for n in (1, 2)]
    first = message("hello", "e.1.aaaa", cursor="e.1.aaaa", resumed=False, counts=counts[0])
    rest = [notification("e.2.bbbb", 2), message("counts", **counts[1])]
    rest += [message("message", type="typing", data={"by": "u2"}), message("status", live=False)]
    rest += [message("retract", "e.3.cccc", notification_id="n2", offset=3)]
    rest += [message("reset", reason="trimmed", cursor="e.9.dddd"), notification("e.10.eeee", 10)]
    rest += [message("status", live=True)]
    with scripted_gateway([first, HOLD, *rest]) as gateway:
        address = site.page(gateway.url, "u1")
        tabs = [Tab(chromium, profile, address).live() for _ in range(2)]
        gateway.go_on()
        for tab in tabs:
            tab.wait_for(10)
            tab.live(2)
            assert tab.states == ["live", "late", "live"]
            assert tab.all("counts") == counts
        for kind in ("notification", "message", "retract", "reset"):
            assert tabs[0].all(kind) == tabs[1].all(kind) != []
        assert gateway.cursors == [""]


def test_tab__that_reads_for_itself_goes_on_for_all(
    chromium: Chromium, profile: str, site: Site
) -> None:
    """It has missed an event and reads it; meanwhile the tab that read for all is closed."""
    first = [hello("e.1.aaaa"), notification("e.2.bbbb", 2), HOLD, notification("e.3.cccc", 3)]
    own = [hello("e.2.bbbb", resumed=True), HOLD, notification("e.3.cccc", 3)]
    own += [notification("e.4.dddd", 4)]
    with scripted_gateway(first, own) as gateway:
        address = site.page(gateway.url, "u1")
        reading = Tab(chromium, profile, address)
        reading.wait_for(2)
        other = Tab(chromium, profile, address)
        other.wait(lambda: other.stored != [], "the other tab has a place")
        with site.holding_client():
            other.reload()
            wait_until(lambda: site.held, "the other tab loads")
            gateway.go_on()
            reading.wait_for(3)
        wait_until(lambda: gateway.cursors == ["", "e.2.bbbb"], "it reads for itself")
        reading.close()
        other.wait(lambda: other.leads, "it reads for all")
        gateway.go_on()
        other.wait_for(4)
        assert other.numbers == [3, 4]
        other.wait(lambda: other.states[-1] == "live", "events come as they happen")
        assert gateway.cursors == ["", "e.2.bbbb"]
