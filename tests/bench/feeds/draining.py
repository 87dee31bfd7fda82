"""A process that writes the feed and drains a gateway stream that was filled before."""

from __future__ import annotations

from typing import Any, NamedTuple

import redis

from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from tests.bench.bench_run import STREAM, ensure_deployment, patient
from tests.bench.checkout import HERE
from tests.bench.feeds.server import check_rows, feed_server, rows, server_cpu_s
from tests.bench.figures import Figures
from tests.bench.gateways.events import Numbers, gateway_entry, user_of
from tests.bench.gateways.producer import write_all
from tests.bench.processes import running
from tests.bench.watch import Work, watch
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.wait import wait_until

_ACKNOWLEDGED_S = 30


def writer_settings(server: Server, postgres: Postgres) -> dict[str, str]:
    """Return the settings of a process that writes the feed, of the channel of all benchmarks."""
    return {
        "REDIS__URL": server.tcp_url,
        "FEED__URL": postgres.url,
        "FEED__CHANNELS": "push",
    }


class Drained(NamedTuple):
    """What a process did, and µs of the processors of Postgres for each row."""

    work: Work
    postgres_us: float


def drain_into(figures: Figures, name: str, server: Server, events: Numbers) -> None:
    """Let one process drain events, each of which must become a row; add what that showed."""
    server.flush()
    ensure_deployment(server.tcp_url)
    with feed_server() as postgres, patient(server) as client:
        write_all(client, gateway_entry, events)
        size = int(client.memory_usage(STREAM, samples=0) or 0)
        drained = _drained(server, postgres, client, events.count)
        check_rows(postgres, events.count)
        figures.add(name, drained.work.rate, "rows/s")
        figures.add(f"{name}: writer", drained.work.worker_us, "µs/row")
        figures.add(f"{name}: Postgres", drained.postgres_us, "µs/row")
        figures.add(f"{name}: Redis", drained.work.server_us, "µs/row")
        figures.add("Redis: an event until it is trimmed", size / events.count, "B")
        figures.add("Redis: the mark of a user", _mark_bytes(client, events), "B")
        _add_sizes(figures, postgres)


def _drained(server: Server, postgres: Postgres, client: redis.Redis, events: int) -> Drained:
    with (
        postgres.client() as asked,
        running("galaxy_notify", "feed", of=HERE, **writer_settings(server, postgres)) as writer,
    ):
        work = watch(client, [writer], lambda: rows(asked), events)
        spent = server_cpu_s(postgres) / events * 1e6
        wait_until(lambda: _is_done(client), "all is acknowledged", _ACKNOWLEDGED_S)
    return Drained(work, spent)


def _is_done(client: redis.Redis) -> bool:
    groups: Any = client.xinfo_groups(STREAM)
    return any(
        group["name"] == FEED_GROUP.encode() and not group["pending"] and not group["lag"]
        for group in groups
    )


def _mark_bytes(client: redis.Redis, events: Numbers) -> float:
    """Return the memory of a mark, of the first users."""
    users = [user_of(number, events.users) for number in range(min(100, events.users))]
    sizes = [int(client.memory_usage(f"{{gn:0}}:unread:{user}", samples=0) or 0) for user in users]
    if not all(sizes):
        raise RuntimeError("a user has no mark")
    return sum(sizes) / len(sizes)


_SIZES = b"""
    SELECT count(*), pg_table_size('feed_item'), pg_indexes_size('feed_item'),
        (SELECT count(*) FROM feed_user), pg_total_relation_size('feed_user')
    FROM feed_item
"""


def _add_sizes(figures: Figures, postgres: Postgres) -> None:
    with postgres.client() as client:
        items, table, indexes, users, counts = client.execute(_SIZES).fetchall()[0]
    figures.add("Postgres: table", table / items, "B/row")
    figures.add("Postgres: indexes", indexes / items, "B/row")
    figures.add("Postgres: counts", counts / users, "B/user")
