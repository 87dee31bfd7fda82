"""The counts of feeds on their way: into the unread marks, and to the instances of their users.

Postgres has the counts before anything is published here. What Redis does not take is found again:
by the sweep within seconds, and by an instance as soon as it misses a mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import redis.asyncio

from galaxy_notify.live.parts import PartLimits, cut
from galaxy_notify.live.tellings import ENTRY_LIMITS, InboxEntry, send_entries
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.faults import (
    Fault,
    Garbled,
    RedisFault,
    Remedy,
    as_fault,
    fault_in,
    fault_of,
)
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_state.inbox import tell_counts
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.unread import (
    MARK_MAX,
    Marked,
    UserCounts,
    mark_query,
    read_mark,
    read_marked,
    unread_mark,
)

_CALL_LIMITS: Final = PartLimits(MARK_MAX, 1 << 16)
#: Users of one round trip: more would hold up Redis for others.
_TOGETHER: Final = 1000
#: About how many bytes the counts of a user take in an entry, beside the name.
_COUNTS_BYTES: Final = 24


class Published(NamedTuple):
    """What became of counts that were published.

    *marked* users have newer counts in Redis than before. *refused* are those whose mark Redis did
    not take; *fault* is why, for the first of them.
    """

    marked: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    fault: Fault | None = None


@dataclass(frozen=True)
class Marks:
    """The unread marks of a deployment."""

    client: redis.asyncio.Redis
    key_space: KeySpace

    async def publish(self, counts: Mapping[str, Counts]) -> Published:
        """Write the marks of users, and send the counts that are new to the users' instances.

        Never raises a fault of Redis, and is safe to repeat, in any order.
        """
        found = Published()
        users = [UserCounts(*each) for each in counts.items()]
        for at in range(0, len(users), _TOGETHER):
            some = users[at : at + _TOGETHER]
            marked = await self._mark(some)
            await self._tell(some, marked)
            found = _joined(found, marked)
        if found.fault is not None and found.fault.remedy is Remedy.RESOLVE:
            await refresh_primary(self.client)
        return found

    async def read(self, user: str) -> Counts | None:
        """Return the counts that the mark of a user has; None without one.

        Raises `RedisFault`.
        """
        (reply,) = await run_all(self.client, [mark_query(self.key_space.keys_of_user(user), user)])
        if isinstance(reply, RedisFault):
            if "WRONGTYPE" in reply.fault.text:
                return None
            raise reply
        with as_fault("unread mark"):
            return read_mark(reply)

    async def _mark(self, counts: Sequence[UserCounts]) -> Mapping[str, Marked | Fault]:
        """Write marks in one round trip to each node; a fault concerns its users alone."""
        parts = list(self._parts(counts))
        try:
            replies = await run_all(self.client, [unread_mark(*part) for part in parts])
        except RedisFault as error:
            replies = [error] * len(parts)
        found: dict[str, Marked | Fault] = {}
        for (_, some), reply in zip(parts, replies, strict=True):
            found |= zip([one.user for one in some], _marked(len(some), reply), strict=True)
        return found

    async def _tell(
        self, counts: Sequence[UserCounts], marked: Mapping[str, Marked | Fault]
    ) -> None:
        told: dict[str, list[UserCounts]] = {}
        for one in counts:
            mark = marked[one.user]
            for instance in mark.instances if isinstance(mark, Marked) else ():
                told.setdefault(instance, []).append(one)
        prefix = self.key_space.prefix
        entries = [
            InboxEntry(name, [one.user for one in part], tell_counts(prefix, name, part))
            for name, some in told.items()
            for part in cut(some, ENTRY_LIMITS, lambda one: len(one.user) + _COUNTS_BYTES)
        ]
        await send_entries(self.client, self.key_space, entries)

    def _parts(self, counts: Iterable[UserCounts]) -> Iterable[tuple[Keys, Sequence[UserCounts]]]:
        by_shard: dict[Keys, list[UserCounts]] = {}
        for one in counts:
            by_shard.setdefault(self.key_space.keys_of_user(one.user), []).append(one)
        for keys, found in by_shard.items():
            for part in cut(found, _CALL_LIMITS, lambda one: len(one.user) + _COUNTS_BYTES):
                yield keys, part


def _marked(users: int, reply: object) -> Sequence[Marked | Fault]:
    try:
        if isinstance(reply, RedisFault):
            raise reply
        answers = read_marked(reply, users)
    except (RedisFault, Garbled) as error:
        return [fault_of(error, "unread_mark").fault] * users
    return [fault_in(answer.reason) if answer.reason else answer for answer in answers]


def _joined(found: Published, marked: Mapping[str, Marked | Fault]) -> Published:
    faults = {one: mark for one, mark in marked.items() if isinstance(mark, Fault)}
    new = {one for one, mark in marked.items() if isinstance(mark, Marked) and mark.is_new}
    return Published(
        found.marked | new,
        found.refused | faults.keys(),
        found.fault or next(iter(faults.values()), None),
    )
