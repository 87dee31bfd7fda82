"""Outages of Postgres and Redis, refused rows, locked users: nothing is lost, nothing is spent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgpack
import pytest
import redis

from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from tests.support.events import (
    KEYS,
    event_fields,
    notification_id,
    parked,
    pending,
    unfinished,
    write_deployment,
)
from tests.support.feeds import drift, feed_on, marks_differ, migrate, publish, rows, rows_of
from tests.support.postgres import Postgres, running_postgres
from tests.support.servers import Server
from tests.support.wait import wait_until

#: Longer than others leave entries alone.
_LONG_MS = 7_000


def _waiting(client: redis.Redis) -> list[dict[str, Any]]:
    found: Any = client.xpending_range(KEYS.stream, FEED_GROUP, "-", "+", 10_000)
    return list(found)


def _age_ms(client: redis.Redis) -> int:
    """Return how long ago the oldest pending entry was published."""
    seconds, _ = client.time()
    oldest = min((int(one["message_id"].split(b"-")[0]) for one in _waiting(client)), default=0)
    return seconds * 1000 - oldest if oldest else 0


@pytest.mark.parametrize(
    ("how", "back"), [("kill", "start"), ("pause", "resume"), ("stop", "start")]
)
def test_postgres__away(server: Server, how: str, back: str) -> None:
    """Events wait, no delivery is counted, and it is logged once; then all are rows."""
    with server.client() as client, running_postgres() as postgres:
        migrate(postgres)
        write_deployment(client)
        # Two of them: neither takes from the other what that waits with.
        with (
            feed_on(server, postgres, feed__statement_timeout_ms=100) as feed,
            feed_on(server, postgres, feed__statement_timeout_ms=100),
        ):
            publish(client, range(100))
            wait_until(lambda: len(rows(postgres)) == 100, "the first are rows")
            getattr(postgres, how)()
            for start in range(100, 900, 200):
                publish(client, range(start, start + 200))
            feed.wait_for("postgres unavailable")
            wait_until(lambda: _age_ms(client) > _LONG_MS, "they wait for long")
            assert max(int(one["times_delivered"]) for one in _waiting(client)) <= 1
            getattr(postgres, back)()
            wait_until(lambda: len(rows(postgres)) == 900, "all are rows")
            wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "all are acknowledged")
            feed.wait_for("postgres available again")
            assert feed.says_each_reason_once
            feed.end()
        assert parked(client) == []
        assert marks_differ(client, postgres) == []
        assert rows(postgres) == rows_of(range(900))
        assert drift(postgres) == []


def test_postgres__away_at_the_stop(server: Server, database: Postgres) -> None:
    """A writer that waits for Postgres ends as it should, and leaves its events to the next one."""
    with server.client() as client:
        write_deployment(client)
        with feed_on(server, database, feed__statement_timeout_ms=100) as feed:
            feed.wait_for("feed writing")
            database.pause()
            publish(client, range(50))
            feed.wait_for("postgres unavailable")
            feed.end()
        database.resume()
        with feed_on(server, database):
            wait_until(lambda: rows(database) == rows_of(range(50)), "all are rows")


def test_rows__refused(server: Server, database: Postgres) -> None:
    """What Postgres or the payload refuses is parked with the reason, and only that."""
    nul = event_fields(7, payload_bytes=_payload(7, title="a\0b"))["payload_bytes"]
    big = event_fields(8, payload_bytes=_payload(8, body="x" * 600_000))["payload_bytes"]
    surrogate = b'{"notification_id": "\\ud800", "type": "t", "producer": "p", "created_at_ms": 1}'
    bad = {7: nul, 90: big, 250: surrogate, 251: b"\xc1", 252: _payload(252, data=[1]), 499: nul}
    with server.client() as client:
        write_deployment(client)
        for number in range(500):
            changed = {"payload_bytes": bad[number]} if number in bad else {}
            publish(client, [number], changed=changed)
        publish(client, [600], changed={"user_id": "u\0"})
        with feed_on(server, database) as feed:
            wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "nothing is left")
            feed.end()
        found = parked(client)
    given = {one[b"entry.event_id"].decode()[:32]: one[b"reason"].decode() for one in found}
    assert set(given) == {notification_id(number) for number in [*bad, 600]}
    assert len(found) == len(bad) + 1
    assert all(given.values())
    assert {one[b"deliveries"] for one in found} == {b"1"}
    assert rows(database) == rows_of([number for number in range(500) if number not in bad])
    assert drift(database) == []


def _payload(number: int, **fields: Any) -> bytes:
    known = msgpack.unpackb(event_fields(number)["payload_bytes"])
    packed: bytes = msgpack.packb(known | fields)
    return packed


def _are_rows(database: Postgres, numbers: Sequence[int]) -> bool:
    return rows(database) == rows_of(numbers)


def test_user__locked(server: Server, database: Postgres) -> None:
    """The events of a locked user wait alone; then they are rows too, in their order."""
    with server.client() as client, feed_on(server, database) as feed:
        write_deployment(client)
        publish(client, range(40))
        wait_until(lambda: len(rows(database)) == 40, "all are rows")
        with database.client(autocommit=False) as holding:
            holding.execute("SELECT * FROM feed_user WHERE user_id = 'u3' FOR UPDATE")
            for start in range(40, 440, 40):
                publish(client, range(start, start + 40))
                free = [n for n in range(start + 40) if n % 20 != 3 or n < 40]
                wait_until(partial(_are_rows, database, free), "the others are rows")
            wait_until(lambda: pending(client, FEED_GROUP) == 20, "the others are acknowledged")
            assert not feed.lines("postgres unavailable")
        wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "all are acknowledged")
        feed.end()
        assert parked(client) == []
        assert marks_differ(client, database) == []
    assert rows(database) == rows_of(range(440))
    assert drift(database) == []


def test_redis__away(server: Server, database: Postgres) -> None:
    """A frozen Redis, and connections that end, lose nothing."""
    with server.client() as client, feed_on(server, database) as feed:
        write_deployment(client)
        feed.wait_for("feed writing")
        for start in range(0, 1000, 200):
            publish(client, range(start, start + 200))
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        server.pause()
        feed.wait_for("redis unavailable")
        server.resume()
        publish(client, range(1000, 1200))
        wait_until(lambda: len(rows(database)) == 1200, "all are rows")
        wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "all are acknowledged")
        feed.end()
        assert parked(client) == []
        assert marks_differ(client, database) == []
    assert rows(database) == rows_of(range(1200))
    assert drift(database) == []
