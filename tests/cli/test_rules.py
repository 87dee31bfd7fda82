"""docs/rules.md: its examples do what they say, and its table names every reason."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from galaxy_notify.model.decision import Reason
from galaxy_notify.model.preference import SEVERITIES
from tests.support.command import CommandLine, command_for
from tests.support.documents import commands, rows, runnable, text_of
from tests.support.founded import found_deployment
from tests.support.patience import patient
from tests.support.program import environment
from tests.support.servers import Server

RULES = "docs/rules.md"
URL = "redis://localhost:6379/0"


def _with_email(server: Server) -> CommandLine:
    return command_for(server, WORKER__CHANNELS='["push","email"]')


def test_rules__shows_commands_that_work(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands run one after the other, and show what the document shows."""
    monkeypatch.chdir(tmp_path)
    told = []
    for line in commands(RULES):
        program, *arguments = shlex.split(line.partition(" > ")[0])
        done = _with_email(server).run(*arguments)
        assert (program, done.exit_code) == ("galaxy-notify", 0), f"{line}\n{done.output}"
        if " > " in line:
            Path(line.partition(" > ")[2]).write_text(done.stdout)
        told.append(done.stdout)
    assert f"```\n{told[4]}```\n" in text_of(RULES)
    assert json.loads(told[9])["preferences"]["types"] == {
        "game.turn.ready": {"channels": ["push"], "in_app": False}
    }
    assert json.loads(told[-1])["status"] == "unchanged"


def test_rules__shows_a_line_that_import_takes(server: Server) -> None:
    """The line of the document is stored as it stands there."""
    (line,) = re.findall(r"^```json\n(.*)\n```$", text_of(RULES), re.MULTILINE)
    _with_email(server).run("prefs", "import", stdin=line)
    assert _with_email(server).run("prefs", "export").stdout == line + "\n"


def test_rules__shows_a_program_that_works(server: Server) -> None:
    """The program changes what it says, and is told what is wrong; the other one collapses."""
    found_deployment(server.url)
    told = []
    for block in runnable(RULES, "python"):
        program = [sys.executable, "-c", block.text.replace(URL, server.url)]
        env = patient(environment(server))
        done = subprocess.run(program, env=env, capture_output=True, text=True, check=True)
        told += done.stdout.splitlines()
    types = {"chat.message": {"channels": []}, "chat.typing": {"in_app": False}}
    assert f"'types': {types}, 'silenced': False" in told[0]
    assert told[1:] == ['channels[0] unknown channel "psuh" (known: push)']
    with redis.Redis.from_url(server.url) as client:
        assert [*client.scan_iter("{gn:0}:newest:*:user-7")]


def test_rules__names_every_reason_in_order() -> None:
    """The table has each reason once, in the order in which the rules are asked."""
    told = [cell.strip("`| ") for *_, cell in rows(RULES, "rules")]
    assert [reason for reason in told if reason != "–"] == [reason.value for reason in Reason]


@pytest.mark.parametrize("severity", SEVERITIES)
def test_rules__names_every_severity(severity: str) -> None:
    """Nobody has to guess what there is."""
    assert f"`{severity}`" in text_of(RULES)
