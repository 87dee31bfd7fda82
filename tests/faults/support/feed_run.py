"""One deployment for a fault test of the feed: Redis, Postgres, writers, events, verdict."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from random import Random
from typing import Any, NamedTuple

import psycopg
import redis

from galaxy_notify.feed_store import migrations
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.unread import mark_query, read_mark
from galaxy_notify.settings.feed import FeedSettings
from tests.support.events import event_fields, notification_id, write_deployment
from tests.support.feeds import FeedProcess, drift, feed_on, rows
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.wait import wait_until

_COUNTS = "SELECT user_id, unread, unseen, version, epoch FROM feed_user, feed_epoch"
_TRIES_PAUSE_S = 0.05


class FeedShape(NamedTuple):
    """How large a deployment is, with the time limit of a statement (ms)."""

    users: int = 20
    shards: int = 2
    statement_timeout_ms: int = 10_000
    max_len: int = 100_000


class FeedRun:
    """A deployment whose feed is broken, and what must be in Postgres and Redis at the end."""

    def __init__(
        self,
        server: Server,
        postgres: Postgres,
        rng: Random,
        stack: ExitStack,
        shape: FeedShape,
    ) -> None:
        self.server = server
        self.postgres = postgres
        self.rng = rng
        self.users = [f"u{number}" for number in range(shape.users)]
        self.writers: list[FeedProcess] = []
        #: What the run came to, for the table of the matrix.
        self.figures: list[str] = []
        #: Numbers of the events that Redis took.
        self.sent: set[int] = set()
        self._stack = stack
        with server.client() as client:
            shared = write_deployment(client, shards=shape.shards, max_len=shape.max_len)
            self.key_space = KeySpace("gn", shared)
        self._limit_ms = shape.statement_timeout_ms
        limited = FeedSettings(url=postgres.url, statement_timeout_ms=self._limit_ms)
        asyncio.run(migrations.migrate(limited))

    def writer(self, failpoints: str = "", url: str = "", **given: Any) -> FeedProcess:
        """Start a writer, perhaps with failpoints, perhaps on another way to Postgres."""
        usual: dict[str, Any] = {
            "failpoints": f"seed={self.rng.getrandbits(32)},{failpoints}" if failpoints else "",
            "feed__url": url or self.postgres.url,
            "feed__statement_timeout_ms": self._limit_ms,
        }
        made = feed_on(self.server, self.postgres, **usual | given)
        self.writers.append(self._stack.enter_context(made))
        return self.writers[-1]

    # --- events ---

    def user_of(self, number: int) -> str:
        """Return whose event a number is."""
        return self.users[number % len(self.users)]

    def keys_of(self, number: int) -> Keys:
        """Return the keys of the shard of its user."""
        return self.key_space.keys_of_user(self.user_of(number))

    def fields_of(self, number: int, **changed: bytes | str) -> dict[Any, Any]:
        """Return the event of a number, with fields changed."""
        user = self.user_of(number)
        event_id = f"{notification_id(number)}/in_app:{user}"
        return event_fields(number, user, **{"event_id": event_id} | changed)

    def publish(self, numbers: Iterable[int]) -> None:
        """Put events into the streams; what got no answer is put in again, as by a producer."""
        taken = list(numbers)
        while True:
            with suppress(redis.RedisError), self.server.client() as client:
                pipeline = client.pipeline(transaction=False)
                for number in taken:
                    pipeline.xadd(self.keys_of(number).stream, self.fields_of(number))
                pipeline.execute()
                break
            threading.Event().wait(_TRIES_PAUSE_S)
        self.sent.update(taken)

    # --- what is there ---

    @property
    def wanted(self) -> list[tuple[str, str]]:
        """Return user and notification of each row that must be there, in order."""
        return sorted((self.user_of(number), notification_id(number)) for number in self.sent)

    def rows(self) -> int:
        """Return how many rows there are; -1 while Postgres is away."""
        try:
            with self.postgres.client() as client:
                found = client.execute("SELECT count(*) FROM feed_item").fetchone()
        except psycopg.Error:
            return -1
        return int(found[0]) if found else -1

    def counts(self) -> dict[str, Counts]:
        """Return the counts of all users as Postgres has them."""
        with self.postgres.client() as client:
            return {user: Counts(*rest) for user, *rest in client.execute(_COUNTS).fetchall()}

    def mark_of(self, user: str) -> Counts | None:
        """Return the unread mark of a user; None without one."""
        query = mark_query(self.key_space.keys_of_user(user), user)
        with self.server.client() as client:
            return read_mark(client.execute_command(*query.command))

    def marks_behind(self) -> dict[str, tuple[Counts, Counts | None]]:
        """Return the users whose mark is not what Postgres has, with both."""
        pairs = {user: (counts, self.mark_of(user)) for user, counts in self.counts().items()}
        return {user: pair for user, pair in pairs.items() if pair[0] != pair[1]}

    def parked(self) -> list[dict[bytes, bytes]]:
        """Return the fields of all entries that were parked."""
        with self.server.client() as client:
            found: list[Any] = [client.xrange(keys.parked) for keys in self.key_space.all_keys]
        return [fields for entries in found for _, fields in entries]

    def swept_ms(self) -> int:
        """Return until when counts were published by sweeps, by the clock of Postgres."""
        with self.server.client() as client:
            found: Any = client.hget(self.key_space.keys(0).swept, "changes_ms")
        return int(found or 0)

    @property
    def is_at_rest(self) -> bool:
        """Whether no event waits for a writer any more, as far as Redis answers."""
        try:
            with self.server.client() as client:
                return all(_is_done(client, keys) for keys in self.key_space.all_keys)
        except redis.RedisError:
            return False

    def wait_until_written(self) -> None:
        """Wait until all events are acknowledged; how long that takes is the machine's affair."""
        try:
            wait_until(lambda: self.is_at_rest, "all is written")
        except AssertionError as error:
            logs = [one.log.read_text(errors="replace")[-3000:] for one in self.writers]
            raise AssertionError("\n".join([str(error), str(self.rows()), *logs])) from error

    def assert_exact(self) -> None:
        """Assert that each event is one row, counted exactly, marked so, and nothing is parked."""
        assert self.parked() == []
        assert rows(self.postgres) == self.wanted
        self.assert_counted()

    def assert_counted(self) -> None:
        """Assert that the counts are those of the rows, and that marks come to say the same."""
        assert drift(self.postgres) == []
        wait_until(lambda: not self.marks_behind(), "marks are what Postgres has")


def _is_done(client: redis.Redis, keys: Keys) -> bool:
    """Return whether the group has all of a stream and owes nothing, which nothing trims here."""
    try:
        last: Any = client.xinfo_stream(keys.stream)["last-generated-id"]
        groups: Any = client.xinfo_groups(keys.stream)
    except redis.ResponseError:  # no event came to this shard
        return True
    found = [
        group["pending"] == 0 and group["last-delivered-id"] == last
        for group in groups
        if group["name"] == FEED_GROUP.encode()
    ]
    return found == [True] and client.xlen(keys.feed_backlog) == 0
