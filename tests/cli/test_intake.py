"""``intake``: rejects are looked at, handed in again, given up; and what the stream is like."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.deployment import DeploymentFixture
from tests.support.intake import GROUP, KEYS, hand_in, intent, left, read_until, rejects
from tests.support.servers import Server
from tests.support.wait import HANG_S

TEXTS = ("{", "[]", intent(1, nope=1), b"\xff", b"x" * 1_100_000)


@pytest.fixture
def deployment(server: Server) -> Iterator[DeploymentFixture]:
    """Give a deployment with five rejects."""
    made = DeploymentFixture(server.url)
    hand_in(made.client, *TEXTS)
    read_until(made.settings, lambda: not left(made.client), "all is read")
    yield made
    made.close()


@pytest.fixture
def command(server: Server) -> CommandLine:
    """Give the command line."""
    return command_for(server)


def _ids(deployment: DeploymentFixture) -> list[str]:
    rows: Any = deployment.client.xrange(KEYS.rejects)
    return [made.decode() for made, _ in rows]


def _ls(command: CommandLine, *options: str) -> list[dict[str, Any]]:
    done = command.run("intake", "rejects", "ls", "--json", *options)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_ls__tells_everything(deployment: DeploymentFixture, command: CommandLine) -> None:
    """A line of JSON for each has its ids, the reason and the text."""
    rows = _ls(command)
    assert [row["id"] for row in rows] == _ids(deployment)
    assert [row["code"] for row in rows] == ["invalid"] * 4 + ["too_large"]
    assert [row["field"] for row in rows] == ["", "", "nope", "", "intent"]
    assert [row["cut"] for row in rows] == [False] * 4 + [True]
    assert [row["bytes"] for row in rows] == [len(text) for text in TEXTS]
    assert rows[3]["intent"] == "\\xff"
    shown = command.run("intake", "rejects", "ls")
    assert shown.exit_code == 0
    assert len(shown.stdout.splitlines()) == 6
    assert all(line.isprintable() for line in shown.stdout.splitlines())


def test_ls__narrows(deployment: DeploymentFixture, command: CommandLine) -> None:
    """Filters, a limit and ids pick some; nothing picked is 3, some ids unknown is 4."""
    (too_large,) = _ls(command, "--code", "too_large")
    assert len(_ls(command, "--limit", "2")) == 2
    assert len(_ls(command, "--since", "1h")) == 5
    assert _ls(command, "--until", "1h") == []
    assert _ls(command, "--", too_large["id"]) == [too_large]
    run = command.run
    assert run("intake", "rejects", "ls", "--code", "conflict").exit_code == 3
    assert "'too_large'" in run("intake", "rejects", "ls", "--code", "nope").stderr
    assert run("intake", "rejects", "ls", "1-1", too_large["id"]).exit_code == 4
    assert run("intake", "rejects", "ls", "1-1").exit_code == 3
    assert run("intake", "rejects", "ls", "x").exit_code == 2
    assert run("intake", "rejects", "ls", "1-1", "--all").exit_code == 2


def test_replay__moves_each_once(deployment: DeploymentFixture, command: CommandLine) -> None:
    """The bytes are in the stream as they were; the second time there is nothing to move."""
    chosen = _ids(deployment)[:4]
    done = command.run("intake", "rejects", "replay", *chosen)
    assert (done.exit_code, done.stdout) == (0, "moved 4 of 4: in the stream again\n")
    rows: Any = deployment.client.xrange(KEYS.stream)
    assert [fields for _, fields in rows] == [
        {b"intent": text if isinstance(text, bytes) else text.encode()} for text in TEXTS[:4]
    ]
    again = command.run("intake", "rejects", "replay", *chosen, "--json")
    assert again.exit_code == 3
    assert json.loads(again.stdout)["gone"] == 4


def test_replay__leaves_what_was_cut(deployment: DeploymentFixture, command: CommandLine) -> None:
    """Of one that was too large only the beginning is there: it stays, which is told."""
    done = command.run("intake", "rejects", "replay", "--all")
    assert done.exit_code == 4
    assert done.stdout == (
        "moved 4 of 5: in the stream again\n  1 not: only the beginning of the intent was kept\n"
    )
    assert len(rejects(deployment.client)) == 1
    assert command.run("intake", "rejects", "replay", "--all").exit_code == 1


def test_replay__reads_ids_from_ls(deployment: DeploymentFixture, command: CommandLine) -> None:
    """What ``ls --json`` prints can be handed to it."""
    listed = command.run("intake", "rejects", "ls", "--json", "--limit", "2").stdout
    done = command.run("intake", "rejects", "replay", "-", stdin=listed)
    assert done.stdout == "moved 2 of 2: in the stream again\n"


def test_purge__asks_first(deployment: DeploymentFixture, command: CommandLine) -> None:
    """Without ids or a filter, and without ``--yes`` where nobody can be asked, nothing goes."""
    for options in ((), ("--limit", "1"), ("--all",), ("--code", "invalid")):
        assert command.run("intake", "rejects", "purge", *options).exit_code == 2
    assert command.run("intake", "rejects", "replay").exit_code == 2
    assert len(rejects(deployment.client)) == 5
    one, *rest = _ids(deployment)
    assert command.run("intake", "rejects", "purge", one).exit_code == 0
    assert command.run("intake", "rejects", "purge", one, rest[0]).exit_code == 4
    done = command.run("intake", "rejects", "purge", "--code", "invalid", "--yes")
    assert done.stdout == "moved 2 of 2: purged\n"
    assert command.run("intake", "rejects", "purge", "--all", "--yes").exit_code == 0
    assert command.run("intake", "rejects", "purge", "--all", "--yes").exit_code == 3


def test_rejects__of_another_kind_are_told(server: Server, command: CommandLine) -> None:
    """Somebody else's key, and entries that are none of ours, end in one line."""
    with server.client() as client:
        client.xadd(KEYS.rejects, {"x": "\x1b[2J"})
        assert command.run("intake", "rejects", "ls").exit_code == 0
        assert command.run("intake", "rejects", "replay", "--all").exit_code == 1
        client.delete(KEYS.rejects)
        client.set(KEYS.rejects, "foreign")
    for verb in ("ls", "replay --all", "purge --all --yes"):
        done = command.run("intake", "rejects", *verb.split())
        assert done.exit_code == 1, verb
        assert len(done.stderr.splitlines()) == 1


def test_status__tells_how_the_stream_stands(server: Server, command: CommandLine) -> None:
    """What is unread, in hand and rejected, before there is a group and after."""
    empty = {"unread": 0, "pending": 0, "oldest_s": None, "rejects": 0}
    named = {"stream": KEYS.stream, "group": GROUP}
    assert command.told("intake", "status") == named | empty
    with server.client() as client:
        hand_in(client, "a", "b", "c")
        assert command.told("intake", "status")["unread"] == 3
        client.xgroup_create(KEYS.stream, GROUP, "0")
        client.xreadgroup(GROUP, "reader", {KEYS.stream: ">"}, count=1)
        told = command.told("intake", "status")
    assert (told["unread"], told["pending"]) == (2, 1)
    assert told["oldest_s"] >= 0
    assert KEYS.stream in command.run("intake", "status").stdout


def test_embedded__without_a_server_is_told_in_one_line(tmp_path: Path) -> None:
    """The reader connects to the embedded server, and says how to start one: 1."""
    command = CommandLine("embedded", {"REDIS__STATE_DIR": str(tmp_path)})
    with command.start("intake", stderr=subprocess.PIPE) as process:
        _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    *_, told = errors.splitlines()
    assert "start it with: galaxy-notify --embedded run" in told
    assert '"error"' not in errors


def test_cluster__needs_a_hash_tag() -> None:
    """Stream and rejects share a slot, or the reader does not start: 78, naming the setting."""
    for settings in (
        {"REDIS__CLUSTER": "true"},
        {"REDIS__CLUSTER": "true", "INTAKE__STREAM": "intents"},
        {"REDIS__CLUSTER": "true", "INTAKE__ENABLED": "true"},
    ):
        command = CommandLine(NOWHERE, settings)
        with command.start("intake", stderr=subprocess.PIPE) as process:
            _, errors = process.communicate(timeout=HANG_S)
        assert process.returncode == 78, settings
        assert errors.startswith("galaxy-notify: intake.stream: must begin with a hash tag")
    told = CommandLine(NOWHERE, {"REDIS__CLUSTER": "true", "INTAKE__STREAM": "{gn-intents}"})
    assert told.run("config", "check").exit_code == 0
    # Whoever reads no intents need not care.
    assert CommandLine(NOWHERE, {"REDIS__CLUSTER": "true"}).run("config", "check").exit_code == 0


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "must be 1 to 200 characters"),
        ("x" * 201, "must be 1 to 200 characters"),
        (" x", "must not begin or end with spaces"),
        ("x\n", "must not begin or end with spaces"),
        ("{gn:0}:client-events", "must not begin like a key of the deployment"),
    ],
)
def test_stream__has_a_name_that_can_be(name: str, problem: str) -> None:
    """A name that is empty, too long, unprintable or one of ours is refused."""
    done = CommandLine(NOWHERE, {"INTAKE__STREAM": name}).run("config", "check")
    assert done.exit_code == 78
    assert f"intake.stream: {problem}" in done.output


def test_stream__is_not_the_gateways() -> None:
    """Intents and events cannot share a stream."""
    done = CommandLine(NOWHERE, {"INTAKE__STREAM": "s", "GATEWAY__STREAM": "s"}).run(
        "config", "check"
    )
    assert "intake.stream: must differ from gateway.stream" in done.output
