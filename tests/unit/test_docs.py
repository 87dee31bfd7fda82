"""What the documents say of the code, where it can be compared."""

from __future__ import annotations

import re

from galaxy_notify.cli.group import COMMANDS
from galaxy_notify.model import notification, route
from galaxy_notify.publishing.scrubber import MENDED
from galaxy_notify.redis_state.deployment import STATE_FORMAT
from tests.support.documents import rows, text_of
from tests.support.program import ROOT


def test_upgrades__tells_the_formats_of_this_version() -> None:
    """The formats in the table are those that the code writes."""
    told = [row[-1].rstrip("| ") for row in rows("docs/upgrades.md", "formats")]
    assert told == [str(STATE_FORMAT), notification.FORMAT.decode(), route.FORMAT.decode()]


def test_operations__tells_what_the_janitor_mends_itself() -> None:
    """The table of findings names every kind once, and whose business it is."""
    lines = [
        line for line in text_of("docs/operations.md").splitlines() if line.endswith(" itself |")
    ]
    told = [code for line in lines for code in re.findall(r"`([^`]+)`", line.split("|")[1])]
    assert sorted(told) == sorted(MENDED)


def test_requirements__names_files_that_exist() -> None:
    """Each place that the table names is there."""
    named = re.findall(r"`([\w./-]+\.(?:py|lua|md|toml|service))`", text_of("docs/requirements.md"))
    assert len(named) > 50
    assert sorted({name for name in named if not (ROOT / name).exists()}) == []


def test_requirements__answers_each_of_them_once() -> None:
    """No number is left out and none is answered twice."""
    cells = [row[0].lstrip("| ") for row in rows("docs/requirements.md", "requirements")]
    wanted = {"G": _numbers(1, 7, 10, 17, 20, 24, 30, 37, 40, 48, 50, 55, 60, 62, 70, 74)}
    wanted["GW"] = _numbers(1, 8, 10, 16, 20, 24, 30, 32, 40, 45)
    wanted["GT"] = _numbers(1, 18)
    assert cells == [f"{kind}-{n:02}" for kind, numbers in wanted.items() for n in numbers]


def _numbers(*bounds: int) -> list[int]:
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    return [number for first, last in pairs for number in range(first, last + 1)]


def test_readme__names_every_command() -> None:
    """Every command of the program stands in the README or in docs/operations.md."""
    text = text_of("README.md") + text_of("docs/operations.md") + text_of("examples/README.md")
    every = {command for section in COMMANDS.values() for command in section}
    used = set(re.findall(r"galaxy-notify(?: --embedded)? ([a-z]+)", text))
    assert every - used - {"demo"} == set()
    assert "make demo" in text
