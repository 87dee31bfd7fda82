"""docs/intake-stream.md: each command and each program in it does what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.redis_state.roles import RIGHTS, Role
from galaxy_notify.settings import settings_from
from tests.cli.test_guide import path_with_program
from tests.support.documents import commands, names, text_of
from tests.support.intake import KEYS, hand_in, intake_on, left, rejects
from tests.support.patience import patient
from tests.support.program import ROOT, environment
from tests.support.servers import Server
from tests.support.wait import wait_until

__all__ = ["path_with_program"]

PAGE = "docs/intake-stream.md"
NODE = shutil.which("node")


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with server.client() as client:
        yield client


def test_page__shows_commands_that_work(
    server: Server, client: Any, path_with_program: str, tmp_path: Path
) -> None:
    """Each command ends with 0 while a reader works, and what is handed in is accepted."""
    redis_cli = shutil.which("redis-cli")
    if redis_cli is None:
        pytest.skip("needs redis-cli")
    # Beside the program of ours, first on the PATH.
    program = tmp_path / "redis-cli"
    program.write_text(f'#!/bin/sh\nexec {redis_cli} -s {server.socket} "$@"\n')
    program.chmod(0o755)
    with intake_on(server):
        hand_in(client, "{", "[")
        for command in commands(PAGE):
            wait_until(lambda: not left(client) and len(rejects(client)) == 2, "all is read")
            done = subprocess.run(
                command,
                shell=True,
                cwd=ROOT,
                env=patient(environment(server, PATH=path_with_program)),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            assert done.stdout, command
    assert client.hget("{gn:0}:totals", "accepted") == b"1"


def test_page__makes_a_unit_of_the_daemons() -> None:
    """The command of the page gives a unit that runs the reader, and sends it no SIGHUP."""
    (script,) = re.findall(r"^sed '(.*)' ", text_of(PAGE), re.MULTILINE)
    made = subprocess.run(
        ["sed", script, "systemd/galaxy-notify.service"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.findall(r"^Exec.*", made, re.MULTILINE) == [
        "ExecStart=/usr/bin/galaxy-notify --config /etc/galaxy-notify/galaxy_notify.toml intake"
    ]
    assert "Description=galaxy-notify: reads the intent stream" in made


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_node__hands_an_intent_in(server: Server, client: Any) -> None:
    """The example writes an entry that a reader accepts, and fails where it may not."""
    command = [str(NODE), "examples/intents.mjs", f"unix://{server.socket}", "user-ü"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ((made, _),) = client.xrange(KEYS.stream)
    assert done.stdout == f"{made.decode()}\n"
    command[-1] = "user-7"
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    with intake_on(server):
        wait_until(lambda: not left(client), "both are read")
    assert client.hget("{gn:0}:totals", "accepted") == b"1"
    assert [one["field"] for one in rejects(client)] == [b"recipients[0]"]
    client.set(KEYS.stream, "foreign")
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout[:10]) == (1, "-WRONGTYPE")


def test_page__shows_what_the_examples_do() -> None:
    """The lines on the page are lines of the programs."""
    for language, path in (("js", "examples/intents.mjs"), ("go", "examples/intents.go")):
        (block,) = re.findall(rf"```{language}\n(.*?)```", text_of(PAGE), re.DOTALL)
        lines = {line.strip() for line in text_of(path).splitlines()}
        shown = {line.strip().replace("ctx", "context.Background()") for line in block.splitlines()}
        assert shown - lines == set(), language


def test_page__names_settings_and_rights_that_exist() -> None:
    """The table has every setting of the section that it is about, and the keys are granted."""
    told = {name.partition(".")[2] for name in names(PAGE, "settings")}
    known = set(type(settings_from({}).intake).model_fields)
    assert told == known - {"enabled", "group"}
    assert "INTENTS" in RIGHTS[Role.PRODUCER].keys
    assert "XADD" in RIGHTS[Role.PRODUCER].commands
