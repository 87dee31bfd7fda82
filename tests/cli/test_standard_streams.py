"""Standard streams that are closed, full, or of another encoding: no command breaks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from galaxy_notify.cli.group import cli
from tests.support.command import CommandLine
from tests.support.command_sweep import ALSO_COMMANDS, ARGUMENTS, CONDITIONS, SERVING, leaves
from tests.support.contacts import variables
from tests.support.dead_letters import DeadLetterFixture
from tests.support.patience import patient
from tests.support.postgres import Postgres
from tests.support.program import ROOT
from tests.support.wait import HANG_S, wait_until

CODES = {0, 1, 2, 3, 4}


def test_walk__has_every_command() -> None:
    """A new command is walked, too."""
    assert {*leaves(cli), *ALSO_COMMANDS} == set(ARGUMENTS) | SERVING


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param(name, marks=[] if name == "closed" else [pytest.mark.extended])
        for name in CONDITIONS
    ],
)
def test_commands__have_no_defect(
    deployment: DeadLetterFixture,
    command: CommandLine,
    feed_database: Postgres,
    tmp_path: Path,
    condition: str,
) -> None:
    """Every command ends with an exit code of ours, whatever its standard streams are."""
    given = {"FEED__URL": feed_database.url, **variables()}
    more = {f"GALAXY_NOTIFY_{name}": value for name, value in given.items()}
    deployment.bury(number=2)
    deployment.accept()
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.command_sweep", condition, str(tmp_path)],
        cwd=ROOT,
        env=patient(os.environ | command.environ | more),
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(ARGUMENTS), done.stderr
    assert [one for one in told if one["defect"] or one["code"] not in CODES] == []


def test_run__works_without_standard_streams(
    deployment: DeadLetterFixture, command: CommandLine
) -> None:
    """A daemon whose starter closed everything publishes, and ends with 0."""
    deployment.accept()
    with command.start("run", preexec_fn=_close_all) as process:
        stream = deployment.key_space.keys(0).stream
        wait_until(lambda: deployment.client.xlen(stream) == 1, "it is published")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=HANG_S) == 0


def _close_all() -> None:
    for number in range(3):
        os.close(number)


@pytest.mark.usefixtures("deployment")
def test_ascii__has_a_sign_for_each_of_ours(command: CommandLine) -> None:
    """Where the encoding has no dash or arrow, tables stay straight."""
    command.environ |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    with command.start("status", stdout=subprocess.PIPE) as process:
        shown, _ = process.communicate(timeout=HANG_S)
    assert "\\u" not in shown
    assert re.search(r" - +0 ", shown)
