"""Narrow terminals: no row wraps, what is copied stays whole, alarms stay on the screen."""

from __future__ import annotations

import os
import re
import struct
from fcntl import ioctl
from termios import TIOCSWINSZ

import click
import pytest

from galaxy_notify.cli.screen import columns_of, cut, escaped, on_screen, printable, warn, wrapped
from galaxy_notify.cli.tables import table
from galaxy_notify.model.route import Failure
from tests.support.command import CommandLine
from tests.support.dead_letters import PLAIN, DeadLetterFixture
from tests.support.wait import wait_until

WIDTHS = (60, 80, 120)
MEMBER = re.compile(r"[0-9a-f]{32}/push:\S+")
LONG = PLAIN._replace(type="tournament.announced.long.name", producer="tournament-service-eu-west")


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Give a width that ``COLUMNS`` names."""
    columns: int = request.param
    monkeypatch.setenv("COLUMNS", str(columns))
    return columns


def test_tables__fit_the_terminal(
    deployment: DeadLetterFixture, command: CommandLine, width: int
) -> None:
    """No line of a table is longer than the terminal is wide, and ids stay whole."""
    failure = Failure("payload_encoding_failed", "no words for this type " * 5)
    kind = LONG._replace(failure=failure)
    deployment.bury(("push:user-with-a-rather-long-name",), number=2, kind=kind)
    deployment.accept()
    stream = deployment.key_space.keys(0).stream
    deployment.client.xadd(stream, {"a": "b"})
    for group in ("gateway", "a-group-of-another-team"):
        deployment.client.xgroup_create(stream, group, "0")
    command.environ["COLUMNS"] = str(width)
    for arguments in (
        ("status",),
        ("list",),
        ("dead", "ls"),
        ("dead", "stats"),
        ("stream", "groups"),
        ("intake", "status"),
        ("prefs", "get", "u1"),
        ("config", "show"),
    ):
        shown = command.run(*arguments).stdout.splitlines()
        long = [line for line in shown if columns_of(line) > width and not MEMBER.search(line)]
        assert long == [], arguments
    listed = command.run("dead", "ls").stdout
    assert all(member in listed for member in deployment.dead())
    assert "payload_encoding_failed" in listed


def test_commands_to_copy__stay_in_one_piece(
    deployment: DeadLetterFixture, command: CommandLine, width: int
) -> None:
    """What stands in backquotes is on one line, whatever else is wrapped."""
    (dead,) = deployment.bury(number=1)
    stream = deployment.key_space.keys(0).stream
    deployment.client.xadd(stream, {"a": "b"})
    deployment.client.xgroup_create(stream, "a-group-of-another-team", "0")
    command.environ["COLUMNS"] = str(width)
    for arguments in (("doctor",), ("status",), ("show", dead)):
        lines = command.run(*arguments).stdout.splitlines()
        assert any("`galaxy-notify " in line for line in lines), arguments
        assert all(line.count("`") % 2 == 0 for line in lines), arguments


def test_table__cuts_text_and_keeps_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns of text are cut first; then names stand above; at last each value has a line."""
    row: list[str | int] = [
        "0" * 30,
        warn("a long text that is not needed"),
        12_345,
        "payload_too_large",
    ]

    def at(columns: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        header = ("id", "text", "number", "class")
        lines = table(header, [row], indent="  ", whole=("id",), uncut=("class",))
        return [click.unstyle(line) for line in lines]

    assert at(100)[1].split("  ")[2:] == ["a long text that is not needed", "12,345", str(row[3])]
    assert at(75)[1] == f"  {row[0]}  a long text t…  12,345  payload_too_large"
    assert at(50)[1:] == [f"  {row[0]}", "    a long text that i…  12,345  payload_too_large"]
    assert "    text    a long text that is n…" in at(34)
    assert at(34)[0] == f"  {row[0]}"
    assert at(34)[2:] == ["    number  12,345", "    class   payload_too_large"]


def test_width__of_a_pipe_is_not_limited() -> None:
    """A pipe gets whole rows: programs read them."""
    assert len(table(("a",), [["x" * 500]])[1]) == 500
    assert wrapped("word " * 100, first="- ") == ["- " + "word " * 100]


def test_wrapped__breaks_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines after the first are indented; a command that is too long has a line of its own."""
    monkeypatch.setenv("COLUMNS", "20")
    command = "`galaxy-notify stream drop-group gateway`"
    told = wrapped(f"must read, or go: {command}.", first="! ", indent="  ")
    assert told == ["! must read, or go:", f"  {command}."]


def test_characters__without_a_width_survive() -> None:
    """Joined emoji and spaces that do not break are shown; what turns the line around is not."""
    kept = "a\u00a0b \N{WOMAN}\u200d\N{ROCKET} x\u200by \u202f\ufeff"
    assert printable(kept) == kept
    assert printable("a\u202eb\x1b\x9b") == "a\ufffdb\ufffd\ufffd"
    assert escaped(f"{kept}\u202e\x9b\U000f0000") == f"{kept}\\u202e\\u009b\\udb80\\udc00"
    assert columns_of("\N{WOMAN}\u200d\N{ROCKET}") == 4
    assert cut("日本語の文", 7) == "日本語…"


def test_show__payload_keeps_the_text(command: CommandLine) -> None:
    """What a notification says is shown as it was handed in."""
    title = "a\u00a0b \N{WOMAN}\u200d\N{ROCKET}\u200b!"
    intent = {"type": "t", "producer": "p", "recipients": ["u1"], "title": title}
    (made,) = command.accept(intent)
    assert title in command.run("show", made, "--payload").stdout


def test_on_screen__keeps_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is left out at the end, and counted; long lines count as what they take."""
    monkeypatch.setenv("LINES", "6")
    monkeypatch.setenv("COLUMNS", "20")
    assert on_screen(["a"] * 5, "x") == ["a"] * 5
    assert on_screen(["! alarm", *["a"] * 9], "x") == ["! alarm", *["a"] * 3, "6 more lines: x"]
    assert on_screen(["b" * 50, *["a"] * 9], "x") == ["b" * 50, "a", "8 more lines: x"]


def test_watch__keeps_alarms_on_the_screen(
    deployment: DeadLetterFixture, command: CommandLine
) -> None:
    """On a terminal of ten lines the alarms are drawn, each time from the top."""
    deployment.bury(number=1)
    controller, terminal = os.openpty()
    ioctl(terminal, TIOCSWINSZ, struct.pack("HHHH", 10, 60, 0, 0))
    shown = b""

    def drawn_twice() -> bool:
        nonlocal shown
        shown += os.read(controller, 65536)
        return shown.count(b"\x1b[J") >= 2

    with command.start("status", "--watch", stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        wait_until(drawn_twice, "it is drawn twice")
        process.terminate()
    os.close(controller)
    first = shown.split(b"\x1b[H")[1].split(b"\x1b[J")[0].decode()
    assert "! no worker is alive" in first
    assert first.count("\n") <= 9
    assert "more lines: galaxy-notify status" in first
    assert b"\x1b[3J" not in shown
