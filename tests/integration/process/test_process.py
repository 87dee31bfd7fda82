"""The daemon as a process: what the README promises of it, seen from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.program import accept, daemon, delivered, program, status
from tests.support.servers import Server, main_server, running
from tests.support.wait import wait_until

STREAM = "{gn:0}:client-events"
NARROW = {"GALAXY_NOTIFY_GATEWAY__MAX_LEN": "10", "GALAXY_NOTIFY_WORKER__BATCH_SIZE": "5"}


@pytest.fixture
def durable_server() -> Iterator[Server]:
    """Give a server of one's own whose data outlives it."""
    with running(main_server(), appendonly="yes") as started:
        yield started


def length(server: Server) -> int:
    """Return how many events are in the stream."""
    with server.client() as client:
        return int(client.xlen(STREAM))


def is_working(server: Server) -> bool:
    """Tell whether a worker has told that it is alive."""
    with server.client() as client:
        return bool(client.zcard("{gn:0}:workers"))


def test_daemon__stops_while_idle(server: Server) -> None:
    """With nothing to do SIGTERM ends it with 0, and its worker is gone from the status."""
    with daemon(server):
        wait_until(lambda: is_working(server), "it works")
    assert status(server)["workers"] == []


def test_daemon__waits_out_an_outage(durable_server: Server) -> None:
    """A server that is killed and comes back finds the daemon waiting, and nobody paid for it."""
    with daemon(durable_server):
        accept(durable_server, "a", "b", "c")
        wait_until(lambda: length(durable_server) == 3, "the first are published")
        durable_server.kill()
        durable_server.start()
        accept(durable_server, "d", "e", "f", "g")
        wait_until(lambda: length(durable_server) == 7, "the others are published")
    totals = status(durable_server)["totals"]
    assert (totals["accepted"], totals["published"], totals["retried"]) == (7, 7, 0)


def test_stream__holds_rather_than_lose_what_a_group_has_not_read(server: Server) -> None:
    """At twice its length publishing waits for the group, says so, and goes on when it reads."""
    with server.client() as client, daemon(server, **NARROW):
        client.xgroup_create(STREAM, "gateway", id="0", mkstream=True)
        accept(server, *(f"user-{n}" for n in range(60)))
        wait_until(lambda: length(server) >= 20, "the stream is at twice its length")
        told = status(server)
        assert told["streams"][STREAM]["holding"]
        assert told["channels"]["push"]["scheduled"] >= 60 - 30
        assert "gateway" in program(server, "status").stdout
        read = delivered(server, 60)
        wait_until(lambda: length(server) < 20, "what was read is trimmed")
    assert len(set(read)) == 60
    assert status(server)["channels"]["push"]["scheduled"] == 0
