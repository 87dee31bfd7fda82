"""How the consumer groups of a gateway stream stand: their lag, and what they lost."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
import redis

from galaxy_notify.embedded.binaries import ServerBinary
from galaxy_notify.redis_client.connection import async_client, sync_client
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.group_report import (
    GroupReport,
    Limits,
    group_report,
    group_report_async,
    least_lag,
)
from tests.support.events import KEYS, join, publish
from tests.support.servers import Server, each_server, running
from tests.support.wait import wait_until


@pytest.fixture
def client(any_server: Server) -> Any:
    with sync_client(any_server.url) as client:
        yield client


@pytest.fixture
def sole(server: Server) -> Any:
    with sync_client(server.url) as client:
        yield client


def read(client: redis.Redis, count: int) -> None:
    client.xreadgroup("gateway", "gw-1", {KEYS.stream: ">"}, count=count)


def trim(client: redis.Redis, keep: int) -> int:
    """Trim as the janitor does where groups do not count; return the length now."""
    return int(run_sync(client, calls.stream_trim(KEYS, keep, None))[1])


def standing(client: redis.Redis) -> tuple[int | None, int | None]:
    """Return lag and loss."""
    report = group_report(client, KEYS)["gateway"]
    return report["lag"], report["lost"]


def test_group_report__without_a_stream(client: redis.Redis) -> None:
    """Where nothing was published and nobody reads there is nothing to report."""
    assert group_report(client, KEYS) == {}


def test_group_report__wrong_type(client: redis.Redis) -> None:
    """A key of another type under the stream's name is a fault, not an empty report."""
    client.set(KEYS.stream, "x")
    with pytest.raises(RedisFault):
        group_report(client, KEYS)


def test_group_report__lag_and_pending(client: redis.Redis, any_server: Server) -> None:
    """Lag is what was not delivered, pending what was not acknowledged, with the oldest's age."""
    assert join(any_server)
    assert not join(any_server)
    assert standing(client) == (0, 0)
    publish(client, *range(250))
    assert standing(client) == (250, 0)
    read(client, 10)
    assert standing(client) == (240, 0)
    read(client, 200)
    report = group_report(client, KEYS)["gateway"]
    assert report["pending"] == 210
    assert 0 <= (report["oldest_pending_s"] or 0) < 60
    assert standing(client) == (40, 0)
    read(client, 100)
    assert standing(client) == (0, 0)


def test_group_report__loss(client: redis.Redis, any_server: Server) -> None:
    """What was trimmed before the group read it stays counted as lost, and is no lag."""
    publish(client, *range(20))
    length = trim(client, 10)
    join(any_server)
    assert standing(client) == (length, 0)
    publish(client, *range(90))
    left = trim(client, 50)
    lost = length + 90 - left
    assert lost > 0
    assert standing(client) == (left, lost)
    read(client, 10)
    assert standing(client) == (left - 10, lost)
    read(client, 100)
    assert standing(client) == (0, lost)
    publish(client, 1, 2)
    assert standing(client) == (2, lost)


def test_group_report__of_a_group_made_again(client: redis.Redis, any_server: Server) -> None:
    """A group has not lost what one of the same name before it has."""
    join(any_server)
    publish(client, *range(20))
    lost = 20 - trim(client, 5)
    assert standing(client) == (20 - lost, lost)
    client.xgroup_destroy(KEYS.stream, "gateway")
    assert join(any_server)
    assert standing(client) == (20 - lost, 0)


@pytest.mark.parametrize("given", [0, 3, 50, 297, 300])
def test_group_report__lag_within_limits(given: int, sole: redis.Redis, server: Server) -> None:
    """A lag is exact, or a lower bound that says so: what is far from both ends is not counted."""
    publish(sole, *range(300))
    join(server)
    if given:
        read(sole, given)
    report = group_report(sole, KEYS, Limits(20, 1 << 20))["gateway"]
    if given == 50:
        assert (report["lag"], report["lag_at_least"]) == (None, 20)
    else:
        assert report["lag"] == 300 - given
        assert "lag_at_least" not in report
    assert least_lag(report) <= 300 - given


def test_group_report__reads_so_many_bytes(sole: redis.Redis, server: Server) -> None:
    """Of large entries few are read, whatever the limit of entries."""
    join(server)
    for number in range(40):
        sole.xadd(KEYS.stream, {"payload": b"x" * 10_000}, id=f"{number + 1}-0")
    read(sole, 20)
    report = group_report(sole, KEYS, Limits(1_000, 100_000))["gateway"]
    assert report["lag"] is None
    assert 5 <= report["lag_at_least"] <= 15
    assert group_report(sole, KEYS, Limits(1_000, 1_000_000))["gateway"]["lag"] == 20


class Counts(NamedTuple):
    """How the two groups of a stream stand: one that has read everything, one that has not."""

    done: tuple[int | None, int | None]
    behind: tuple[int | None, int | None]


def counts(client: redis.Redis) -> Counts:
    reports = group_report(client, KEYS)
    return Counts(*((reports[n]["lag"], reports[n]["lost"]) for n in ("gateway", "behind")))


def publish_and_lose(client: redis.Redis, server: Server) -> Counts:
    """Let one group read everything, and another one lose some and read some."""
    for name in ("gateway", "behind"):
        join(server, name)
    publish(client, *range(300))
    read(client, 300)
    left = trim(client, 100)
    client.xreadgroup("behind", "gw-1", {KEYS.stream: ">"}, count=30)
    found = counts(client)
    assert found == Counts(done=(0, 300 - left), behind=(left - 30, 300 - left))
    return found


@pytest.mark.parametrize("binary", each_server())
def test_group_report__survives_a_restart(binary: ServerBinary) -> None:
    """A server that loads its file of commands says the same of each group as before."""
    with running(binary, appendonly="yes") as server:
        with sync_client(server.url) as client:
            before = publish_and_lose(client, server)
        server.restart()
        with sync_client(server.url) as client:
            assert counts(client) == before
            client.bgrewriteaof()
            info: Any = client.info
            wait_until(lambda: not info("persistence")["aof_rewrite_in_progress"], "rewritten")
        server.restart()
        with sync_client(server.url) as client:
            assert counts(client) == before
            read(client, 1)
            assert counts(client) == before


@pytest.mark.parametrize("binary", each_server())
def test_group_report__survives_a_failover(binary: ServerBinary) -> None:
    """A promoted replica says the same of each group as the primary did."""
    with (
        running(binary, tcp=True) as primary,
        running(binary, tcp=True) as replica,
        sync_client(primary.url) as client,
        sync_client(replica.url) as other,
    ):
        info: Any = other.info
        other.replicaof("127.0.0.1", primary.port)
        wait_until(lambda: info("replication")["master_link_status"] == "up", "it follows")
        before = publish_and_lose(client, primary)
        wait_until(lambda: client.wait(1, 500) == 1, "the replica has all")
        other.replicaof("NO", "ONE")
        assert counts(other) == before
        read(other, 1)
        assert counts(other) == before


def test_group_report__undone_is_no_loss(client: redis.Redis, any_server: Server) -> None:
    """An entry that a settle took back was never an event: it is no loss."""
    join(any_server)
    publish(client, 1)
    (undone,) = publish(client, 2)
    client.xdel(KEYS.stream, undone)
    publish(client, 3)
    read(client, 10)
    assert standing(client) == (0, 0)


def test_group_report__async_says_the_same(client: redis.Redis, any_server: Server) -> None:
    """The asynchronous report says what the synchronous one says."""
    join(any_server)
    publish(client, 1, 2)
    read(client, 1)

    async def report() -> dict[str, GroupReport]:
        asynchronous = async_client(any_server.url)
        try:
            return await group_report_async(asynchronous, KEYS)
        finally:
            await asynchronous.aclose()

    found_async, found_sync = asyncio.run(report()), group_report(client, KEYS)
    for reports in (found_async, found_sync):
        reports["gateway"]["oldest_pending_s"] = None
    assert found_async == found_sync
