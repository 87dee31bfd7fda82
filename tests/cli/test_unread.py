"""Output that nobody reads, or that cannot be written: work is done to its end, listings stop."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import CommandLine, command_for
from tests.support.dead_letters import DeadLetterFixture
from tests.support.intents import PLAIN
from tests.support.servers import Server
from tests.support.wait import HANG_S

LINES = 1200


def unread(command: CommandLine, *arguments: str, **options: Any) -> tuple[int, str]:
    """Run a command whose reader has left; return its exit code and standard error."""
    reading, writing = os.pipe()
    os.close(reading)
    with command.start(*arguments, stdout=writing, stderr=subprocess.PIPE, **options) as process:
        os.close(writing)
        _, errors = process.communicate(timeout=HANG_S)
    return process.returncode, errors


def full(command: CommandLine, *arguments: str, **options: Any) -> tuple[int, str]:
    """Run a command whose output goes to a full disk."""
    with (
        open("/dev/full", "w") as output,
        command.start(*arguments, stdout=output, stderr=subprocess.PIPE, **options) as process,
    ):
        _, errors = process.communicate(timeout=HANG_S)
    return process.returncode, errors


def accepted_by(
    run: Callable[..., tuple[int, str]], command: CommandLine, file: Path, bad: int = 0
) -> tuple[int, str]:
    """Accept many lines, some of them bad; check that all the good ones were accepted."""
    file.write_text(f"{json.dumps(PLAIN)}\n" * LINES + "{bad\n" * bad)
    ended = run(command, "accept", str(file))
    assert command.told("status")["totals"]["accepted"] == LINES
    return ended


def test_accept__goes_on_without_a_reader(command: CommandLine, tmp_path: Path) -> None:
    """Every line is accepted, quietly."""
    assert accepted_by(unread, command, tmp_path / "intents") == (0, "")


def test_accept__tells_of_refused_lines_without_a_reader(
    command: CommandLine, tmp_path: Path
) -> None:
    """What was refused is counted on standard error where the receipts could not be written."""
    summary = "1,201 lines: 1,200 accepted, 0 duplicate, 1 refused\n"
    assert accepted_by(unread, command, tmp_path / "intents", bad=1) == (4, summary)


def test_accept__goes_on_with_a_full_disk(command: CommandLine, tmp_path: Path) -> None:
    """Every line is accepted, and the receipts that could not be written are a failure."""
    code, errors = accepted_by(full, command, tmp_path / "intents")
    assert code == 1
    assert errors == "galaxy-notify: cannot write the output: No space left on device\n"


def test_prefs_import__goes_on_without_a_reader(command: CommandLine, tmp_path: Path) -> None:
    """Every user is stored."""
    file = tmp_path / "preferences"
    wish = {"types": {"t": {"min_severity": "warning"}}}
    lines = [json.dumps({"user": f"u{n}", "preferences": wish}) for n in range(LINES)]
    file.write_text("\n".join(lines))
    assert unread(command, "prefs", "import", str(file)) == (0, "")
    assert len(command.run("prefs", "export").stdout.splitlines()) == LINES


def test_verdicts__are_those_with_a_reader(
    deployment: DeadLetterFixture, command: CommandLine
) -> None:
    """A command whose exit code says something says it without a reader, too."""
    made = deployment.accept()
    deployment.client.delete(deployment.key_space.keys(0).schedule("push"))
    (dead,) = deployment.bury(number=1)
    for code, *arguments in (
        (1, "health"),
        (1, "fsck"),
        (0, "fsck", "--fix"),
        (1, "cancel", dead),
        (0, "cancel", made),
        (0, "dead", "stats"),
        (0, "dead", "replay", "--all", "--yes"),
    ):
        assert unread(command, *arguments)[0] == code, arguments
    assert command.told("status")["totals"]["replayed"] == 1


def test_fsck__sums_up_without_a_reader(
    deployment: DeadLetterFixture, command: CommandLine
) -> None:
    """What it found is told on standard error, where the findings could not be."""
    for _ in range(40):
        deployment.accept()
    deployment.client.delete(deployment.key_space.keys(0).schedule("push"))
    code, errors = unread(command, "fsck")
    assert code == 1
    assert "41 found" in errors  # each route, and that the schedule is gone


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--watch"),
        ("stream", "tail", "--follow"),
        ("dead", "ls"),
        ("dead", "export", "--all"),
        ("list",),
        ("prefs", "export"),
    ],
    ids=" ".join,
)
def test_listing__ends_quietly_without_a_reader(
    deployment: DeadLetterFixture, command: CommandLine, arguments: tuple[str, ...]
) -> None:
    """What only shows something ends with 0, also where it would go on for ever."""
    (dead,) = deployment.bury(number=1)
    deployment.client.xadd(deployment.key_space.keys(0).stream, {"a": "b"})
    assert command.run("prefs", "silence", "u1").exit_code == 0
    assert dead
    assert unread(command, *arguments) == (0, "")


def test_errors__that_nobody_reads_change_nothing(server: Server) -> None:
    """A full standard error keeps no command from its work, nor from its exit code."""
    command = command_for(server)
    with open("/dev/full", "w") as nowhere:
        for code, *arguments in ((3, "show", "0" * 32), (0, "accept", "/dev/null"), (2, "nope")):
            with command.start(*arguments, stderr=nowhere) as process:
                assert process.wait(timeout=HANG_S) == code
