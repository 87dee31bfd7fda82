"""How the command line writes: tables, numbers, durations, moments, and nothing that steers."""

from __future__ import annotations

import click
import pytest

from galaxy_notify.cli.output import clock, plural, shortened
from galaxy_notify.cli.prompts import confirm
from galaxy_notify.cli.screen import warn
from galaxy_notify.cli.tables import table
from galaxy_notify.model.wording import ago, duration

NOW = 1_900_000_000_000


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1 s"),
        (125_000, "2 min 5 s"),
        (3_600_000, "1 h"),
        (3_601_000, "1 h"),
        (90_000_000, "1 d 1 h"),
        (-4000, "4 s"),
    ],
)
def test_duration__in_its_two_largest_units(ms: int, text: str) -> None:
    """A duration is as exact as people need it."""
    assert duration(ms) == text


def test_ago__past_future_and_now() -> None:
    """A moment is told from where we stand."""
    assert ago(NOW - 3000, NOW) == "3 s ago"
    assert ago(NOW + 240_000, NOW) == "in 4 min"
    assert ago(NOW + 999, NOW) == "now"


def test_clock__is_utc_to_the_millisecond() -> None:
    """A moment is written the same everywhere; what is none is shown as it is."""
    assert clock(NOW) == "2030-03-17 17:46:40.000Z"
    assert clock(10**18) == str(10**18)


def test_table__aligns_numbers_and_text_with_colours() -> None:
    """Numbers stand to the right and text to the left, whatever colour they have."""
    lines = table(("name", "n"), [["a", 1], ["bbbbb", 12_345], [warn("cc"), None]])
    assert [click.unstyle(line) for line in lines] == [
        "name        n",
        "a           1",
        "bbbbb  12,345",
        "cc          –",
    ]
    assert table(("name",), []) == []


def test_shortened__keeps_to_one_safe_line() -> None:
    """What comes from outside is cut, stays on its line and cannot steer a terminal."""
    assert shortened("a\nb\x1b[2J", 20) == "a b�[2J"
    assert shortened("x" * 30, 10) == "x" * 9 + "…"


def test_plural__counts() -> None:
    """One is one."""
    assert [plural(n, "entry", "entries") for n in (0, 1, 2000)] == [
        "0 entries",
        "1 entry",
        "2,000 entries",
    ]


def test_confirm__without_a_terminal_shows_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody to ask is a usage error that tells exactly what to run."""
    monkeypatch.setattr("sys.argv", ["galaxy-notify", "dead", "purge", "--type", "a b"])
    with pytest.raises(click.UsageError) as refused:
        confirm("Purge 40?", yes=False)
    assert refused.value.exit_code == 2
    assert "galaxy-notify dead purge --type 'a b' --yes" in refused.value.message
    confirm("Purge 40?", yes=True)
