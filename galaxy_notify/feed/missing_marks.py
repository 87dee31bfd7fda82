"""Marks that Redis lacks, made from Postgres for users who are connected here.

A mark expires, is evicted, or is lost with all data of Redis. Whoever is connected asks for the
counts again, and nothing waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import Counts
from galaxy_notify.process.closing import close_soon
from galaxy_notify.redis_client.async_retries import StopFlag, Stopped

#: Users of one query.
_TOGETHER: Final = 250
#: Users who wait while Postgres is away; more are asked for again by the next renewal.
_WAITING_MAX: Final = 100_000


class MissingMarks:
    """Reads counts from Postgres and writes the marks, for as long as `run` runs."""

    def __init__(self, store: FeedStore) -> None:
        """Prepare; nothing is sent before `run`, which also closes the store."""
        self._store = store
        self._stop = StopFlag()
        self._postgres = PostgresOutage(self._stop, store.ready)
        self._waiting: dict[str, None] = {}
        self._asked = asyncio.Event()

    def ask(self, user: str) -> None:
        """Have the mark of a user made soon."""
        if len(self._waiting) < _WAITING_MAX:
            self._waiting[user] = None
            self._asked.set()

    async def run(self, marks: Marks, found: Callable[[str, Counts], object]) -> None:
        """Work until `stop`, across outages of Postgres and Redis.

        *found* is called with a user and the counts in Postgres.
        """
        try:
            with suppress(Stopped):
                while not self._stop:
                    await self._asked.wait()
                    await self._make(marks, found)
        finally:
            await close_soon(self._store)

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()
        self._asked.set()

    async def _make(self, marks: Marks, found: Callable[[str, Counts], object]) -> None:
        users = list(islice(self._waiting, _TOGETHER))
        if not users:
            self._asked.clear()
            return
        counts = await self._counts_of(users)
        for user in users:
            self._waiting.pop(user, None)
        for user, read in counts.items():
            found(user, read)
        await marks.publish(counts)
        # A newer mark may have been there and been lost in between: this one would stay.
        again = await self._counts_of(users)
        await marks.publish({user: new for user, new in again.items() if new != counts[user]})

    async def _counts_of(self, users: Sequence[str]) -> Mapping[str, Counts]:
        """Return the counts of users; raise `Stopped`, also where a reply is late.

        What that call writes is nothing, so nobody has to wait for it at the end.
        """
        call = asyncio.ensure_future(self._postgres.answered(lambda: self._store.counts_of(users)))
        ended = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({call, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if call.done():
            return call.result()
        call.add_done_callback(_look_at)
        raise Stopped


def _look_at(call: asyncio.Future[Mapping[str, Counts]]) -> None:
    """Take the error of a call for which nobody waits any more."""
    if not call.cancelled():
        call.exception()
