"""Clients of a feed that change the same users at random, and compare the counts that they get."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from galaxy_notify.errors import FeedUnavailable
from galaxy_notify.feed_store.listing import ListQuery
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import Counts, NewItem
from galaxy_notify.settings.feed import FeedSettings
from tests.support.events import notification_id
from tests.support.feed_store import new_item
from tests.support.postgres import Postgres

#: What a client does, and how often among all.
_WEIGHTS = {
    "insert": 40,
    "mark": 25,
    "mark_all": 8,
    "retract": 8,
    "read": 10,
    "reconcile": 4,
    "delete_old": 3,
    "forget": 2,
}
_BATCH = 60
_AWAY_PAUSE_S = 0.1
_IDS = 300


class Seen:
    """The counts that all clients got: a version of a user stands for one state, and grows."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.states: dict[tuple[str, int], tuple[int, int]] = {}
        self._newest: dict[str, int] = {}

    def newest(self) -> Mapping[str, int]:
        """Return the newest version of each user so far."""
        return dict(self._newest)

    def take(self, found: Mapping[str, Counts], before: Mapping[str, int]) -> None:
        """Judge counts of a call; *before* are the versions that were known when it began."""
        for user, counts in found.items():
            if not counts.version:  # the user is forgotten
                continue
            if counts.version < before.get(user, 0):
                self.violations.append(f"{user}: {counts} behind version {before[user]}")
            state = (counts.unread, counts.unseen)
            if self.states.setdefault((user, counts.version), state) != state:
                self.violations.append(f"{user}: {counts}, and {self.states[user, counts.version]}")
            self._newest[user] = max(self._newest.get(user, 0), counts.version)


class FeedClients(NamedTuple):
    """Clients with connections of their own that share users and notifications."""

    postgres: Postgres
    rng: Random
    users: list[str]
    seen: Seen
    done: Counter[str]

    async def run(self, clients: int, calls: int) -> None:
        """Let each client make so many calls that are answered; raise what one of them raises.

        What finds Postgres away is not raised: the client goes on with another call.
        """
        await asyncio.gather(*(self._run(calls) for _ in range(clients)))

    async def _run(self, calls: int) -> None:
        store = FeedStore.from_settings(FeedSettings(url=self.postgres.url))
        try:
            answered = 0
            while answered < calls:
                (what,) = self.rng.choices([*_WEIGHTS], [*_WEIGHTS.values()])
                before = self.seen.newest()
                try:
                    self.seen.take(await self._call(store, what), before)
                except FeedUnavailable:
                    self.done["away"] += 1
                    await asyncio.sleep(_AWAY_PAUSE_S)
                else:
                    self.done[what] += 1
                    answered += 1
        finally:
            await store.close()

    async def _call(self, store: FeedStore, what: str) -> Mapping[str, Counts]:
        """Make one call; return the counts that it answers."""
        user = self.rng.choice(self.users)
        ids = [notification_id(self.rng.randrange(_IDS)) for _ in range(20)]
        if what == "insert":
            return (await store.insert(self._items())).counts
        if what == "retract":
            users = self.rng.choice([None, self.rng.sample(self.users, 10)])
            return (await store.retract(ids[0], users)).counts
        if what in ("reconcile", "delete_old", "forget"):
            return await self._tidy(store, what, user)
        return {user: await self._mark(store, what, user, ids)}

    def _items(self) -> list[NewItem]:
        """Return items of which others insert some as well, in any order."""
        numbers = [self.rng.randrange(_IDS) for _ in range(_BATCH)]
        pairs = {(self.rng.choice(self.users), notification_id(number)) for number in numbers}
        return [new_item(*pair) for pair in self.rng.sample(sorted(pairs), len(pairs))]

    async def _mark(self, store: FeedStore, what: str, user: str, ids: list[str]) -> Counts:
        if what == "mark":
            marks = (store.mark_read, store.mark_unread, store.mark_seen, store.archive)
            return await self.rng.choice(marks)(user, ids)
        if what == "mark_all":
            marks_all = (store.mark_all_read, store.mark_all_seen, store.archive_all)
            return await self.rng.choice(marks_all)(user, self.rng.choice([None, ids[0]]))
        return (await store.list(user, ListQuery())).counts

    async def _tidy(self, store: FeedStore, what: str, user: str) -> Mapping[str, Counts]:
        if what == "forget":
            await store.forget(user)
        elif what == "reconcile":
            drifts = [drift async for drift in store.reconcile(fix=True)]
            self.seen.violations += [str(drift) for drift in drifts]
        else:
            # Of the oldest rows, some; all would leave little to the others.
            async for deleted in store.delete_older_than(0):
                return deleted.counts
        return {}
