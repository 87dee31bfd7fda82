"""Rows P2, P4 and P7: answers of COMMIT that are lost, rows that are refused, users in a lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgpack
import pytest

from tests.faults.conftest import NewFeedRun
from tests.faults.support.feed_run import FeedRun
from tests.support.events import event_fields, notification_id
from tests.support.feeds import rows
from tests.support.proxy import Loss, Proxy, proxied
from tests.support.wait import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.extended]

#: A reply is given up two seconds after this limit of a statement.
_IMPATIENT_MS = 500


@contextmanager
def link_of(one: FeedRun) -> Iterator[tuple[Proxy, str]]:
    """Put a proxy in front of Postgres, and give it with the URL that leads through it."""
    with proxied(one.postgres.server.socket) as proxy:
        yield proxy, f"postgresql://galaxy@127.0.0.1:{proxy.port}/{one.postgres.database}"


@pytest.mark.parametrize("how", ["reset", "silence"])
def test_rowp2__answer_of_commit_is_lost(feed_run: NewFeedRun, how: Loss) -> None:
    """The same items are inserted again: one row each, and counted once."""
    one = feed_run(statement_timeout_ms=_IMPATIENT_MS)
    with link_of(one) as (proxy, url):
        one.writer(url=url)
        for turn in range(4):
            proxy.lose_reply_to(b"COMMIT", how)
            one.publish(range(turn * 300, turn * 300 + 300))
            wait_until(lambda: proxy.lost > turn, "an answer is lost")  # noqa: B023  # at once
        one.wait_until_written()
    one.assert_exact()
    assert proxy.lost == 4


def test_rowp2__connection_ends_before_commit(feed_run: NewFeedRun) -> None:
    """What was not committed is not there, and comes once."""
    one = feed_run()
    with link_of(one) as (proxy, url):
        one.writer(url=url)
        for turn in range(4):
            proxy.lose_reply_to(b"INSERT INTO feed_item")
            one.publish(range(turn * 300, turn * 300 + 300))
            wait_until(lambda: proxy.lost > turn, "a connection has ended")  # noqa: B023
        one.wait_until_written()
    one.assert_exact()


def test_rowp4__refused_rows_among_500(feed_run: NewFeedRun) -> None:
    """Only what can never be stored is parked, each with its reason; its neighbours are rows."""
    one = feed_run(shards=1)
    long_id = 3 * 1024 * "f"
    payload = msgpack.unpackb(event_fields(0)["payload_bytes"])
    surrogate = msgpack.packb(payload | {"title": "\ud800"}, unicode_errors="surrogatepass")
    refused: dict[int, dict[str, bytes | str]] = {
        40: {"payload_bytes": msgpack.packb(payload | {"title": "a\0b"})},
        41: {"payload_bytes": msgpack.packb(payload | {"body": "x\0"})},
        123: {"event_id": f"{long_id}/in_app:{one.user_of(123)}"},
        250: {"payload_bytes": surrogate},
        251: {"payload_bytes": msgpack.packb(payload | {"body": "x" * (1 << 20)})},
        399: {"payload_bytes": b"\xc1 no msgpack"},
        499: {"payload_bytes": b'{"type": "json of another encoder"}'},
    }
    with one.server.client() as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(500):
            fields = one.fields_of(number, **refused.get(number, {}))
            pipeline.xadd(one.keys_of(number).stream, fields)
        pipeline.execute()
    one.writer()
    one.wait_until_written()
    one.sent.update({*range(500)} - {*refused})
    assert rows(one.postgres) == one.wanted
    parked = one.parked()
    ids = [refused.get(n, {}).get("event_id") or one.fields_of(n)["event_id"] for n in refused]
    assert sorted(fields[b"entry.event_id"].decode() for fields in parked) == sorted(map(str, ids))
    assert all(fields[b"reason"] for fields in parked)
    one.assert_counted()
    one.figures.append(f"{len(parked)} of 500 parked, {one.rows()} rows")


def test_rowp7__lock_on_one_user_is_held(feed_run: NewFeedRun) -> None:
    """The items of all others are written while it is held; then those of that user."""
    one = feed_run()
    one.writer()
    one.publish(range(200))
    one.wait_until_written()
    with one.postgres.client(autocommit=False) as holder:
        holder.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        holder.execute("SELECT FROM feed_user WHERE user_id = 'u3' FOR UPDATE")
        for turn in range(1, 6):
            one.publish(range(turn * 200, turn * 200 + 200))
            free = [pair for pair in one.wanted if pair[0] != "u3"]
            wait_until(lambda: len(rows(one.postgres)) == len(free) + 10, "others are rows")  # noqa: B023
        assert [pair[1] for pair in rows(one.postgres) if pair[0] == "u3"] == [
            notification_id(number) for number in range(3, 200, 20)
        ]
        holder.rollback()
    one.wait_until_written()
    one.assert_exact()


def test_rowp7__user_is_being_added(feed_run: NewFeedRun) -> None:
    """A transaction that has not ended adds a new user: all other new users are written."""
    one = feed_run(users=200)
    with one.postgres.client(autocommit=False) as holder:
        holder.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        holder.execute("INSERT INTO feed_user (user_id) VALUES ('u3')")
        one.publish(range(600))
        one.writer()
        wait_until(lambda: one.rows() == 597, "others are rows")
        holder.rollback()
    one.wait_until_written()
    one.assert_exact()
