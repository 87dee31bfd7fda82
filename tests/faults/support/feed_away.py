"""Postgres away under a steady load: what users see live, and what is in the feed afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from statistics import quantiles
from typing import Any, NamedTuple

import redis

from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.keys import Keys
from tests.faults.support.delivery_run import DeliveryRun
from tests.faults.support.postgres_outages import PostgresOutage
from tests.support.daemons import daemon_on
from tests.support.events import notification_id, parked
from tests.support.feeds import drift, feed_on, rows
from tests.support.postgres import Postgres
from tests.support.wait import HANG_S, until

#: Events of one call of the producer.
_TOGETHER = 20
#: Live delivery may take this many times as long beside an outage; a wait for it would be seconds.
MOST_RISE = 3.0
#: A frozen server is given up two seconds after the limit of a statement.
_WRITER: dict[str, Any] = {"feed__channels": ["push"], "feed__statement_timeout_ms": 1000}


class Watched(NamedTuple):
    """What an outage came to, as far as Redis shows it.

    *longest* and *backlog* are the most entries of a shard's stream and backlog; *deliveries* the
    most often that an entry was given to a writer.
    """

    longest: int = 0
    backlog: int = 0
    deliveries: int = 0

    def most(self, other: Watched) -> Watched:
        """Return the greater of each figure."""
        return Watched(*map(max, zip(self, other, strict=True)))


class Load(NamedTuple):
    """How many events come before an outage and in it, and how many in a second.

    *patience_s* catches a hang while they are written afterwards.
    """

    before: int
    away: int
    per_s: float
    patience_s: float = HANG_S


class Phase(NamedTuple):
    """How long events took from the producer to the clients (s), over some part of the load."""

    p50: float
    p99: float


async def feed_away(
    one: DeliveryRun, postgres: Postgres, outage: PostgresOutage, load: Load
) -> tuple[Phase, Phase]:
    """Let events come with Postgres there, then with Postgres away; then let it be back.

    Returns how live delivery was in the two parts. Those that come meanwhile must be more than half
    of a stream of the deployment.
    """
    end = load.before + load.away
    shared = one.key_space.shared
    most = shared.max_len
    with (
        daemon_on(one.server, gateway__max_len=most, worker__shards=shared.shards) as daemon,
        feed_on(one.server, postgres, **_WRITER) as writer,
    ):
        for _ in range(2):
            one.gateway()
        daemon.wait_for("daemon working")
        async with one.leaving():
            await one.connect()
            there, _ = await _part(one, range(load.before), load.per_s)
            await until(lambda: _written(postgres) == load.before, "all are rows")
            with outage(postgres):
                away, watched = await _part(one, range(load.before, end), load.per_s)
                await until(lambda: _watch(one).backlog > 0, "events wait in the backlog")
                watched = watched.most(_watch(one))
            back = asyncio.get_running_loop().time()
            await until(lambda: _written(postgres) == end, "all are rows", load.patience_s)
            written_s = asyncio.get_running_loop().time() - back
            await one.until_at_the_tops()
            await until(lambda: _watch(one).backlog == 0, "nothing waits")
        one.figures.append(
            f"{load.away:,} events at {load.per_s:g}/s: p50 {there.p50 * 1000:.1f} ms, p99"
            f" {there.p99 * 1000:.1f} ms before, {away.p50 * 1000:.1f} and {away.p99 * 1000:.1f} ms"
            f" meanwhile; backlog of a shard {watched.backlog:,}, stream {watched.longest:,} at"
            f" most, of {most:,}; all rows {written_s:.1f} s after it was back"
        )
        # Where the machine stands still for longer than the writer waits, that is one more outage.
        for event in ("postgres unavailable", "postgres available again"):
            await until(partial(writer.lines, event), f"the writer logs: {event}")
        # Beyond that no event is published.
        assert watched.longest < 2 * most
        assert watched.deliveries <= 1
        assert not daemon.lines("claiming suspended")
    _assert_exact(one, postgres)
    return there, away


def _written(postgres: Postgres) -> int:
    with postgres.client() as client:
        found = client.execute("SELECT count(*) FROM feed_item").fetchone()
    return int(found[0]) if found else 0


def _assert_exact(one: DeliveryRun, postgres: Postgres) -> None:
    wanted = [(user, notification_id(n)) for user, sent in one.sent.items() for n in sent]
    assert rows(postgres) == sorted(wanted)
    assert drift(postgres) == []
    with one.server.client() as client:
        assert not any(parked(client, keys) for keys in one.key_space.all_keys)


async def _part(one: DeliveryRun, numbers: range, per_s: float) -> tuple[Phase, Watched]:
    """Let events come; return how long they took, and what was seen meanwhile."""
    loop = asyncio.get_running_loop()
    began, watched = loop.time(), Watched()
    for first in range(0, len(numbers), _TOGETHER):
        await asyncio.sleep(max(0.0, began + first / per_s - loop.time()))
        await one.publish(numbers[first : first + _TOGETHER])
        if first % (50 * _TOGETHER) == 0:
            watched = watched.most(_watch(one))
    await one.until_all_came()
    return _phase(one, numbers), watched


def _phase(one: DeliveryRun, numbers: Iterable[int]) -> Phase:
    came = {number: at for client in one.clients for number, at in client.record.came_at.items()}
    cuts = quantiles([came[number] - one.sent_at[number] for number in numbers], n=100)
    return Phase(cuts[49], cuts[98])


def _watch(one: DeliveryRun) -> Watched:
    found = Watched()
    with one.server.client() as client:
        for keys in one.key_space.all_keys:
            found = found.most(_watch_shard(client, keys))
    return found


def _watch_shard(client: redis.Redis, keys: Keys) -> Watched:
    deliveries = 0
    for stream in (keys.stream, keys.feed_backlog):
        with suppress(redis.ResponseError):  # there is no group yet
            pending: Any = client.xpending_range(stream, FEED_GROUP, "-", "+", 1000)
            deliveries = max([deliveries, *(entry["times_delivered"] for entry in pending)])
    longest, backlog = client.xlen(keys.stream), client.xlen(keys.feed_backlog)
    return Watched(int(longest), int(backlog), deliveries)
