"""Feeds for tests: events for them, the process that writes them, and what is in Postgres."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from galaxy_notify.feed_store import migrations
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.settings.feed import FeedSettings
from tests.support.daemons import DaemonProcess
from tests.support.events import KEYS, event_fields, notification_id
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.wait import HANG_S

#: What `feed_item` must say of the counts of each user.
_DRIFT = """
SELECT user_id FROM feed_user LEFT JOIN (
    SELECT
        user_id,
        count(*) FILTER (WHERE unread) AS unread,
        count(*) FILTER (WHERE unseen) AS unseen
    FROM feed_item GROUP BY user_id
) AS items USING (user_id)
WHERE (feed_user.unread, feed_user.unseen)
    IS DISTINCT FROM (coalesce(items.unread, 0), coalesce(items.unseen, 0))
"""


def migrate(postgres: Postgres) -> None:
    """Give the database of a test the schema of the feed."""
    asyncio.run(migrations.migrate(FeedSettings(url=postgres.url)))


def publish(
    client: redis.Redis,
    numbers: Sequence[int],
    *,
    keys: Keys = KEYS,
    users: int = 20,
    changed: Mapping[str, bytes | str] | None = None,
) -> None:
    """Add events of the feed to a shard's stream, in turn for some users."""
    pipeline = client.pipeline(transaction=False)
    for number in numbers:
        user = f"u{number % users}"
        event = {"event_id": f"{notification_id(number)}/in_app:{user}", **(changed or {})}
        pipeline.xadd(keys.stream, event_fields(number, user, **event))
    pipeline.execute()


def rows_of(numbers: Sequence[int], users: int = 20) -> list[tuple[str, str]]:
    """Return the rows that those events are, in order."""
    return sorted((f"u{number % users}", notification_id(number)) for number in numbers)


def rows(postgres: Postgres) -> list[tuple[str, str]]:
    """Return user and notification of every row, in order; more than one row is there as often."""
    with postgres.client() as client:
        found = client.execute("SELECT user_id, notification_id FROM feed_item").fetchall()
    return sorted(found)


def drift(postgres: Postgres) -> list[Any]:
    """Return the users whose counts are not those of their rows."""
    with postgres.client() as client:
        return client.execute(_DRIFT).fetchall()


def marks_differ(client: redis.Redis, postgres: Postgres, shards: int = 1) -> list[str]:
    """Return the users whose mark in Redis has not the counts of Postgres."""
    with postgres.client() as found:
        counts = found.execute("SELECT user_id, unread, unseen, version FROM feed_user").fetchall()
    key_space, differ = KeySpace("gn", SharedSettings(shards=shards)), []
    for user, *numbers in counts:
        key = key_space.keys_of_user(user).unread(user)
        mark: Any = client.hmget(key, ["unread", "unseen", "version"])
        if mark != [str(number).encode() for number in numbers]:
            differ.append(user)
    return differ


def order_of_users(postgres: Postgres) -> dict[str, list[int]]:
    """Return the numbers of each user's notifications, in the order of its list."""
    with postgres.client() as client:
        found = client.execute("SELECT user_id, notification_id FROM feed_item ORDER BY at, id")
        order: dict[str, list[int]] = {}
        for user, name in found.fetchall():
            order.setdefault(user, []).append(int(name, 16))
    return order


class FeedProcess(DaemonProcess):
    """A writer of the feed on a server and a database."""

    @property
    def writer(self) -> str:
        """Its name in Redis."""
        return str(self.wait_for("feed started")["writer"])

    @property
    def says_each_reason_once(self) -> bool:
        """Whether it has logged each reason of an outage of Postgres once.

        On a machine that stands still there may be more than one outage.
        """
        said: set[str] = set()
        for line in self.lines():
            if line["event"] == "postgres available again":
                said.clear()
            elif line["event"] == "postgres unavailable":
                if line["code"] in said:
                    return False
                said.add(line["code"])
        return True

    def end(self) -> None:
        """Stop it as a supervisor does; it must end with 0."""
        self.wait_for("feed started")
        self.signal(signal.SIGTERM)
        assert self.ended() == 0, self.log.read_text()


@contextmanager
def feed_on(
    server: Server,
    postgres: Postgres,
    *,
    failpoints: str = "",
    url: str = "",
    variables: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[FeedProcess]:
    """Run a writer while the block runs; a process that still runs is killed at the end.

    *url* is another way to Redis than that of the server.
    """
    given = {"feed__url": postgres.url} | settings
    asked = {"GN_FAILPOINTS": failpoints, "GALAXY_NOTIFY_REDIS__URL": url}
    environ = {**(variables or {}), **{name: value for name, value in asked.items() if value}}
    process = FeedProcess(server, variables=environ, command="feed", **given)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.kill()
        process.process.wait(HANG_S)
        shutil.rmtree(process.folder)
