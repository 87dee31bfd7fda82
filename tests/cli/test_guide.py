"""docs/guide.md: every command and every program in it does what it says, on a real server."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.model.intent import Intent
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.settings import settings_from
from tests.support.documents import commands, names, runnable, text_of
from tests.support.founded import found_deployment
from tests.support.patience import patient
from tests.support.program import ROOT, daemon, delivered, environment, program
from tests.support.roles import PASSWORD, stage
from tests.support.servers import Server
from tests.support.wait import wait_until

GUIDE = "docs/guide.md"
URL = "redis://localhost:6379/0"
STREAM = "{gn:0}:client-events"
PRODUCER, CONSUMER = (block.text for block in runnable(GUIDE, "python"))
# A function that can't encode anything: whoever meets it is a dead letter.
BROKEN = {"GALAXY_NOTIFY_GATEWAY__ENCODER": "operator:truediv"}
INTENT = """{"type":"game.turn.ready","producer":"lobby","recipients":["user-7"],
 "request_id":"r1","trace_id":"t1","data":{"turn":12},
 "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}""".replace("\n", "")


@pytest.fixture
def path_with_program(tmp_path: Path) -> str:
    """Give a PATH on which the program is called as it is when installed."""
    script = tmp_path / "galaxy-notify"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m galaxy_notify "$@"\n')
    script.chmod(0o755)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


def accepted(server: Server) -> str:
    """Accept one notification on the command line and return its id."""
    done = program(server, "accept", stdin=INTENT)
    assert done.returncode == 0, done.stderr
    return str(re.findall(r'"notification_id":"(\w+)"', done.stdout)[0])


def dead_letter(server: Server) -> str:
    """Have one notification die and return its id."""
    notification_id = accepted(server)
    with server.client() as client, daemon(server, **BROKEN):
        wait_until(lambda: client.zcard("{gn:0}:dead:push"), "it is dead")
    return notification_id


def test_guide__shows_commands_that_work(server: Server, path_with_program: str) -> None:
    """Each command of the operator's questions ends with 0 where all is well."""
    notification_id = dead_letter(server)
    with daemon(server), server.client() as client:
        wait_until(lambda: client.zcard("{gn:0}:workers"), "the worker is seen")
        for command in commands(GUIDE):
            done = subprocess.run(
                re.sub(r"\bID\b", notification_id, command),
                shell=True,
                cwd=ROOT,
                env=patient(environment(server, PATH=path_with_program)),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            assert done.stdout, command
        wait_until(lambda: client.xlen(STREAM) == 1, "what was replayed is published")
        (entry,) = _entries(server)
    assert entry[b"event_id"].decode() == f"{notification_id}/push:user-7#2"


def _entries(server: Server) -> list[dict[bytes, bytes]]:
    with server.client() as client:
        entries: Any = client.xrange(STREAM)
    return [fields for _, fields in entries]


def test_guide__shows_a_producer_that_works(server: Server) -> None:
    """The producer's program accepts once, and says so the second time."""
    found_deployment(server.url)
    for word in ("accepted", "duplicate"):
        done = subprocess.run(
            [sys.executable, "-c", PRODUCER.replace(URL, server.url)],
            env=patient(environment(server)),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(f"{word} "), done.stdout


def test_guide__shows_a_gateway_that_works(server: Server) -> None:
    """The gateway's program is handed what was published."""
    accepted(server)
    with (
        daemon(server),
        subprocess.Popen(
            [sys.executable, "-u", "-c", CONSUMER.replace(URL, server.url)],
            env=environment(server),
            stdout=subprocess.PIPE,
            text=True,
        ) as gateway,
    ):
        assert gateway.stdout is not None
        delivered = next(line for line in gateway.stdout if line.startswith("user-7"))
        gateway.terminate()
    assert delivered == "user-7 game.turn.ready {'turn': 12}\n"


def test_guide__names_the_fields_of_the_stream(server: Server) -> None:
    """The table has every field of an event, and no other."""
    accepted(server)
    with server.client() as client, daemon(server):
        wait_until(lambda: client.xlen(STREAM) == 1, "it is published")
    (entry,) = _entries(server)
    assert [name.decode() for name in entry] == names(GUIDE, "fields")


def test_guide__names_the_fields_of_an_intent() -> None:
    """The table has every field of an intent, and no other."""
    assert set(names(GUIDE, "intent")) == set(Intent.model_fields)


def test_guide__names_settings_that_exist() -> None:
    """What looks like a setting is one."""
    settings = settings_from({})
    known = {f"{name}.{field}" for name, section in settings.sections() for field, _ in section}
    sections = "|".join(name for name, _ in settings.sections())
    named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)`", text_of(GUIDE)))
    assert named <= known
    assert named


@pytest.fixture
def users(any_server: Server) -> Iterator[dict[Role, dict[str, str]]]:
    """Make the users of the shipped file; give the settings with which each logs in."""
    with ExitStack() as stack:
        made = {role: stack.enter_context(stage(any_server, role)).user for role in Role}
        yield {
            role: {
                "GALAXY_NOTIFY_REDIS__USERNAME": user,
                "GALAXY_NOTIFY_REDIS__PASSWORD": PASSWORD,
            }
            for role, user in made.items()
        }


def test_guide__has_users_that_suffice(
    any_server: Server, users: dict[Role, dict[str, str]]
) -> None:
    """Accept, publish, die, replay, look and consume, each as the user made for it."""
    with any_server.client() as client:
        client.execute_command("ACL", "LOG", "RESET")
        _live(any_server, client, users)
        denied: Any = client.execute_command("ACL", "LOG")
    assert denied == []


def _live(server: Server, client: Any, users: dict[Role, dict[str, str]]) -> None:
    producer, operator = users[Role.PRODUCER], users[Role.OPERATOR]
    assert program(server, "accept", stdin=INTENT, **producer).returncode == 0
    with daemon(server, **users[Role.DAEMON], **BROKEN):
        wait_until(lambda: client.zcard("{gn:0}:dead:push"), "it is dead")
    with daemon(server, **users[Role.DAEMON]):
        wait_until(lambda: program(server, "health", **operator).returncode == 0, "it works")
        for command in ("dead ls", "dead replay --all --yes", "health", "status", "fsck"):
            done = program(server, *command.split(), **operator)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        wait_until(lambda: client.xlen(STREAM) == 1, "it is published")
        name = users[Role.CONSUMER]["GALAXY_NOTIFY_REDIS__USERNAME"]
        login_url = server.url.replace("unix://", f"unix://{name}:{PASSWORD}@")
        assert delivered(server, 1, login_url) == ["user-7: game.turn.ready\n"]
    assert program(server, "pause", "push", **operator).returncode == 0
