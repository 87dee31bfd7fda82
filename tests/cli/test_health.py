"""``health``, and what ``status`` and ``doctor`` say with it: what stands still, from the start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from galaxy_notify.redis_state.roles import RIGHTS, Role
from galaxy_notify.redis_state.worker_process import process_of
from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.dead_letters import DeadLetterFixture, dead_letter_fixture
from tests.support.deployment import DeploymentFixture
from tests.support.liveness import age, alive
from tests.support.servers import Server
from tests.support.wait import wait_until


@pytest.fixture
def deployment(any_server: Server) -> Iterator[DeadLetterFixture]:
    """Give a deployment of one shard."""
    with dead_letter_fixture(any_server) as made:
        yield made


@pytest.fixture
def command(any_server: Server) -> CommandLine:
    """Give its command line."""
    return CommandLine(any_server.url)


def test_health__needs_a_worker_that_moves(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Without a worker that made progress within 30 s nothing is healthy."""
    done = command.run("health")
    assert done.exit_code == 1
    assert "no worker made progress within 30 s" in done.stdout
    alive(deployment, progress_ms=1)
    assert command.run("health").exit_code == 1
    alive(deployment)
    done = command.run("health")
    assert (done.exit_code, done.stdout[:7]) == (0, "healthy")
    told = command.told("health")
    assert told["ok"] is True
    assert told["reasons"] == []


def test_health__nothing_may_be_overdue_by_a_minute(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """A route that is late by over 60 s is a reason, a young one is not."""
    alive(deployment)
    made = deployment.accept()
    age(deployment, f"{made}/push:u1", 50_000)
    assert command.run("health").exit_code == 0
    age(deployment, f"{made}/push:u1", 20_000)
    done = command.run("health")
    assert done.exit_code == 1
    assert "channel push has routes overdue" in done.stdout


def test_health__needs_writes(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """A server that refuses writes is unhealthy; the check itself leaves nothing behind."""
    alive(deployment)
    assert command.run("health").exit_code == 0
    wait_until(lambda: not deployment.client.keys("*notification*"), "the mark is gone")
    deployment.client.config_set("maxmemory", 1)
    try:
        done = command.run("health")
    finally:
        deployment.client.config_set("maxmemory", 0)
    assert done.exit_code == 1
    assert "redis refuses writes" in done.stdout


def test_worker__that_was_killed_is_gone_at_once(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Its last progress is seconds old, and its process is on this machine."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        alive(deployment, pid=str(process.pid), process=process_of(process.pid))
        assert command.run("health").exit_code == 0
        process.kill()
    (worker,) = command.told("status")["workers"]
    assert worker["state"] == "gone"
    ended = "no worker is alive, the process of worker h-7-abcd has ended"
    assert f"! {ended}: start one" in command.run("status").stdout
    done = command.run("health")
    assert (done.exit_code, ended in done.stdout) == (1, True)
    assert ended in command.run("doctor").stdout
    made = deployment.accept()
    assert "no worker is alive" in command.run("show", made).stdout


def test_worker__that_is_silent_is_no_working_one(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """On another machine only its silence can be seen; within 30 s it is a warning."""
    seconds: Any = deployment.client.time()
    alive(deployment, progress_ms=(seconds[0] - 15) * 1000)
    assert command.told("status")["workers"][0]["state"] == "silent"
    told = command.told("health")
    assert (told["ok"], told["workers"]) == (True, 1)


def test_health__a_pause_is_a_warning(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """Nobody is to restart a daemon because of it, and nobody is to overlook it."""
    alive(deployment)
    deployment.accept()
    assert command.run("pause", "push").exit_code == 0
    done = command.run("health")
    assert (done.exit_code, done.stdout[:8]) == (0, "warning:")
    assert "channel push is paused for " in done.stdout
    (warning,) = command.told("health")["warnings"]
    assert warning.endswith(", 1 due: `galaxy-notify resume push`")
    assert command.told("status")["channels"]["push"]["paused_s"] >= 0
    assert "channel push is paused" in command.run("doctor").stdout
    assert command.run("resume", "push").exit_code == 0
    assert command.told("status")["channels"]["push"]["paused_s"] is None
    assert command.run("health").stdout[:7] == "healthy"


def test_health__a_stream_that_holds_is_a_warning(
    any_server: Server, deployment: DeadLetterFixture
) -> None:
    """From the first moment, long before anything is overdue by a minute."""
    keys = deployment.key_space.keys(0)
    deployment.client.hset(keys.meta, "max_len", "5")
    deployment.client.xgroup_create(keys.stream, "slow", "0", mkstream=True)
    for _ in range(10):
        deployment.client.xadd(keys.stream, {"a": "b"})
    alive(deployment)
    command = CommandLine(any_server.url)
    done = command.run("health")
    assert (done.exit_code, done.stdout[:8]) == (0, "warning:")
    assert "is full, publishing is suspended for" in done.stdout
    assert command.told("status")["streams"][keys.stream]["held_s"] >= 0


@pytest.mark.parametrize("refused", ["OOM", "READONLY"])
def test_status__has_a_line_for_refused_writes(
    command: CommandLine, deployment: DeadLetterFixture, refused: str
) -> None:
    """With what helps; the numbers are shown below it."""
    alive(deployment)
    deployment.client.config_set("replica-serve-stale-data", "yes")
    if refused == "OOM":
        deployment.client.config_set("maxmemory", 1)
    else:
        deployment.client.replicaof("127.0.0.1", 1)
    try:
        shown, told = command.run("status"), command.told("status")
        health = command.run("health")
    finally:
        deployment.client.config_set("maxmemory", 0)
        deployment.client.replicaof("NO", "ONE")
    assert shown.exit_code == 0
    assert f"! redis refuses writes: {refused}" in shown.stdout
    assert told["redis"]["writes"] == "refused"
    assert told["redis"]["refusal"].startswith(refused)
    assert (health.exit_code, f"redis refuses writes: {refused}" in health.stdout) == (1, True)


def test_status__does_not_say_of_writes_what_it_cannot_know(
    command: CommandLine, any_server: Server, deployment: DeadLetterFixture
) -> None:
    """A user who may not write learns what INFO tells, and else nothing; nothing is written."""
    rules = RIGHTS[Role.READER].line(Role.READER).split()[2:]
    line: list[Any] = ["ACL SETUSER", "looker", "on", ">secret", *rules]
    deployment.client.execute_command(*line)  # type: ignore[no-untyped-call]  # redis-py
    looker = CommandLine(any_server.url, {"REDIS__USERNAME": "looker", "REDIS__PASSWORD": "secret"})
    assert looker.told("status")["redis"]["writes"] == "unknown"
    assert "writes: unknown" in looker.run("status").stdout
    deployment.client.config_set("maxmemory", 1)
    try:
        told = looker.told("status")["redis"]
    finally:
        deployment.client.config_set("maxmemory", 0)
    assert (told["writes"], told["refusal"]) == ("refused", "OOM: its memory is full")


def test_health__without_redis_is_told_as_json() -> None:
    """Also a Redis that is away is an answer, not only an error."""
    told = CommandLine(NOWHERE).told("health")
    assert told["ok"] is False
    assert "redis is away" in told["reasons"][0]


def test_health__leaves_nothing_that_fsck_reports(any_server: Server) -> None:
    """The mark that it writes on each shard belongs there."""
    with closing(DeploymentFixture(any_server.url, worker__shards=8)):
        command = command_for(any_server, WORKER__SHARDS="8")
        assert command.told("health")["write_ms"] > 0
        assert command.told("fsck")["findings"] == []
