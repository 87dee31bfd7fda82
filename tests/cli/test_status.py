"""``status``, ``pause`` and ``resume``: the numbers, and who must do something."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.command import CommandLine
from tests.support.dead_letters import PLAIN, DeadLetterFixture, dead_letter_fixture
from tests.support.intents import PLAIN as INTENT
from tests.support.liveness import age, alive
from tests.support.servers import Server
from tests.support.wait import HANG_S

CHANNEL_KEYS = ["scheduled", "due", "overdue", "oldest_overdue_s", "leased", "dead", "paused"]
CHANNEL_KEYS += ["paused_s", "paused_shards", "kind", "breakers_open"]
TOTALS = ["accepted", "published", "retried", "dead_lettered", "replayed", "purged"]
TOTALS += ["cancelled", "expired", "skipped", "abandoned"]
LONG_AGO_MS = 120_000


@pytest.fixture
def deployment(any_server: Server) -> Iterator[DeadLetterFixture]:
    """Give a deployment of one shard."""
    with dead_letter_fixture(any_server) as made:
        yield made


@pytest.fixture
def command(any_server: Server) -> CommandLine:
    """Give its command line."""
    return CommandLine(any_server.url)


def channel(command: CommandLine) -> Any:
    """Return what status tells of the one channel."""
    return command.told("status")["channels"]["push"]


def test_status__has_exactly_the_agreed_shape(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Every agreed key is there; what more there is stands beside them."""
    deployment.client.xadd(deployment.key_space.keys(0).stream, {"a": "b"})
    deployment.client.xgroup_create(deployment.key_space.keys(0).stream, "g", "0")
    alive(deployment)
    told = command.told("status")
    assert list(told) == [
        *(
            "at_ms",
            "server",
            "shards",
            "channels",
            "totals",
            "streams",
            "workers",
            "gateways",
            "feed",
        ),
        *("redis", "memory"),
    ]
    assert list(told["server"]) == ["flavour", "version"]
    assert list(told["channels"]["push"]) == CHANNEL_KEYS
    assert list(told["totals"])[: len(TOTALS)] == TOTALS
    (stream,) = told["streams"].values()
    assert list(stream) == ["length", "max_len", "holding", "groups", "held_s"]
    assert list(stream["groups"]["g"]) == ["lag", "pending", "oldest_pending_s", "lost"]
    (worker,) = told["workers"]
    assert {"id", "host", "pid", "version", "progress_ms"} <= set(worker)
    assert (worker["pid"], worker["state"]) == (7, "working")
    assert list(told["redis"]) == ["writes", "refusal", "uptime_s"]
    assert (told["redis"]["writes"], told["redis"]["refusal"]) == ("taken", None)
    assert list(told["memory"]) == [
        *("waiting_bytes", "kept_bytes", "dead_bytes", "streams_bytes", "sampled")
    ]


def test_status__of_nothing_is_all_zero(command: CommandLine, any_server: Server) -> None:
    """An empty server is told as one, and nothing is written to it."""
    zeros = [0, 0, 0, 0.0, 0, 0, False, None, 0, None, 0]
    assert channel(command) == dict(zip(CHANNEL_KEYS, zeros, strict=True))
    with any_server.client() as client:
        assert client.dbsize() == 0


def test_status__counts_due_leased_and_dead(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Scheduled includes the leased; due does not; the dead are apart."""
    deployment.bury(number=2)
    for _ in range(3):
        deployment.accept()
    assert deployment.claim("push", 0)
    deployment.accept()
    told = channel(command)
    assert (told["scheduled"], told["leased"], told["due"], told["dead"]) == (4, 3, 1, 2)


def test_status__a_lapsed_lease_is_due_again(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """A lease that lapsed counts as none, and its route as late by the due time in its state."""
    made = deployment.accept()
    assert deployment.claim("push", 0)
    age(deployment, f"{made}/push:u1", 5000)
    told = channel(command)
    assert (told["leased"], told["due"], told["overdue"]) == (0, 1, 1)
    assert 5 <= told["oldest_overdue_s"] < 60


def test_status__a_leased_route_is_late_by_its_state(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """A lease does not hide how long its route has been due."""
    made = deployment.accept()
    age(deployment, f"{made}/push:u1", LONG_AGO_MS)
    assert deployment.claim("push", 0)
    told = channel(command)
    assert (told["scheduled"], told["leased"], told["due"], told["overdue"]) == (1, 1, 0, 1)
    assert told["oldest_overdue_s"] >= 120


def test_status__estimates_beyond_a_page(
    command: CommandLine, deployment: DeadLetterFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a page of states is read; the rest is judged by it."""
    monkeypatch.setattr("galaxy_notify.redis_inspect.inspector._PAGE", 20)
    for _ in range(60):
        age(deployment, f"{deployment.accept()}/push:u1", LONG_AGO_MS)
    assert deployment.claim("push", 0)
    told = channel(command)
    assert (told["leased"], told["overdue"]) == (60, 60)


def test_status__survives_what_lies_wrong(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """A member that names nothing, a state nobody can read, a stream that is none."""
    keys = deployment.key_space.keys(0)
    made = deployment.accept()
    deployment.client.hset(*deployment.record(f"{made}/push:u1"), "rubbish")
    deployment.client.zadd(keys.schedule("push"), {"\xff nonsense": 5, "0" * 32 + "/push:u": 6})
    deployment.client.set(keys.stream, "no stream")
    told = command.told("status")
    assert told["channels"]["push"]["overdue"] == 2
    assert told["streams"][keys.stream]["holding"] is True
    assert "refuses writes" in command.run("status").stdout


def test_status__shows_what_the_memory_goes_to(
    any_server: Server, command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """One line, marked as an estimate; what an older ACL does not allow is left out."""
    deployment.accept()
    deployment.bury()
    (line,) = (row for row in command.run("status").stdout.splitlines() if "kept after" in row)
    assert re.fullmatch(
        r"  waiting \S+ k?B, kept after publishing 0 B, dead letters \S+ k?B, streams \S+ k?B,"
        r" redis \S+ [kM]B \(estimated from \d+ notifications\)",
        line,
    )
    deployment.client.acl_setuser(
        "ann", enabled=True, nopass=True, commands=["+@all", "-memory"], keys=["*"]
    )
    denied = CommandLine(any_server.url, {"REDIS__USERNAME": "ann"})
    assert denied.told("status")["memory"] is None
    assert "kept after" not in denied.run("status").stdout
    deployment.client.acl_deluser("ann")


def test_status__sums_over_shards(any_server: Server) -> None:
    """With several shards a channel is told as one, and each stream on its own."""
    with dead_letter_fixture(any_server, shards=4) as deployment:
        for _ in range(20):
            deployment.accept()
        told = CommandLine(any_server.url, {"WORKER__SHARDS": "4"}).told("status")
    assert told["shards"] == 4
    assert told["channels"]["push"]["scheduled"] == 20
    assert told["totals"]["accepted"] == 20
    assert len(told["streams"]) == 4


def test_status__of_a_channel_that_is_paused_here_and_there(server: Server) -> None:
    """A pause that was interrupted is not told as one of the whole channel."""
    with dead_letter_fixture(server, shards=3) as deployment:
        deployment.client.sadd(deployment.key_space.keys(1).paused, "push")
        command = CommandLine(server.url, {"WORKER__SHARDS": "3"})
        told = command.told("status")["channels"]["push"]
        assert (told["paused"], told["paused_shards"]) == (True, 1)
        assert "! channel push is paused on 1 of 3 shards: `" in command.run("status").stdout


def test_status__tells_a_person_what_to_do(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """What needs somebody stands first, with the command that helps."""
    deployment.accept()
    assert command.run("pause", "push").exit_code == 0
    alarms = [line for line in command.run("status").stdout.splitlines() if line[:1] == "!"]
    assert alarms[0] == "! no worker is alive: start one with `galaxy-notify run`"
    assert re.fullmatch(
        r"! channel push is paused for \d+ m?s, 1 due: `galaxy-notify resume push`", alarms[1]
    )


def test_status__a_full_stream_names_who_must_read(
    any_server: Server, deployment: DeadLetterFixture
) -> None:
    """A stream that holds names the group that does not read, and how to drop it."""
    keys = deployment.key_space.keys(0)
    deployment.client.hset(keys.meta, "max_len", "5")
    for _ in range(10):
        deployment.client.xadd(keys.stream, {"a": "b"})
    deployment.client.xgroup_create(keys.stream, "slow", "0")
    command = CommandLine(any_server.url)
    assert command.told("status")["streams"][keys.stream]["holding"] is True
    shown = command.run("status").stdout
    assert "is full, publishing is suspended" in shown
    if any_server.binary.version.startswith("6."):
        return  # this server does not tell what a group has still to read
    assert "galaxy-notify stream drop-group slow" in shown


def test_watch__shows_it_again(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """``--watch`` tells again and again, as JSON lines into a pipe, until it is interrupted."""
    deployment.accept()
    with command.start("status", "--watch", "--json", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first, second = (json.loads(process.stdout.readline()) for _ in range(2))
        process.send_signal(2)
        assert process.wait(timeout=HANG_S) == 130
    assert second["at_ms"] > first["at_ms"]


def test_pause__holds_a_channel_until_resume(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Both are 0 when asked twice; an unknown channel is a usage error."""
    deployment.accept()
    for already in (False, True):
        told = command.told("pause", "push")
        assert told == {"channel": "push", "paused": True, "already": already}
    assert channel(command)["paused"] is True
    assert deployment.claim("push", 0) is None
    for already in (False, True):
        told = command.told("resume", "push")
        assert told == {"channel": "push", "paused": False, "already": already}
    assert channel(command)["paused"] is False
    assert deployment.claim("push", 0)
    done = command.run("pause", "psuh")
    assert done.exit_code == 2
    assert 'unknown channel "psuh" (known: push)' in done.stderr


def test_cancel__exit_codes(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """0 cancelled and again, 3 unknown, 4 some too late, 1 all too late."""
    (made,) = command.accept({**INTENT, "recipients": ["u1", "u2"]})
    assert command.run("cancel", made, "--route", "push:u1").stdout == "cancelled 1 of 1 route\n"
    for _ in range(2):
        done = command.run("cancel", made)
        assert (done.exit_code, done.stdout) == (0, "cancelled 2 of 2 routes\n")
    for unknown in ("0" * 32, "nonsense", f"{made}/push:u9"):
        assert command.run("cancel", unknown).exit_code == 3
    dead, mixed = deployment.bury(), deployment.accept(("push:u1", "push:u2"))
    assert command.run("cancel", dead[0]).exit_code == 1
    assert command.run("cancel", mixed, "--route", "push:u1").exit_code == 0
    deployment.die("push", 0, PLAIN.failure)
    told = command.told("cancel", mixed)
    assert (told["cancelled"], told["too_late"]) == (1, 1)
    assert command.run("cancel", mixed).exit_code == 4
