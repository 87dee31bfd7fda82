"""What the janitor of a shard reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import redis.asyncio

from galaxy_notify.redis_client.faults import as_fault
from galaxy_notify.redis_client.flows import Flow, run_flow, unwrap
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_client.replies import pairs, reader
from galaxy_notify.redis_client.runner import run, run_all
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.consumer_names import forget_consumers
from galaxy_notify.redis_state.dead_retention import DeadRules, ExpiredDead, expire_dead
from galaxy_notify.redis_state.deliveries import delivery_keys
from galaxy_notify.redis_state.feed_backlog import FeedBacklog, backlog_keys, feed_members
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.group_report import has_no_key
from galaxy_notify.redis_state.joining import assert_deployment
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.redis_state.words import Word

LOCK_MS: Final = 10_000
_FORGOTTEN_MS: Final = 3_600_000
#: A consumer that was idle for this long and is empty has ended.
_CONSUMER_MS: Final = 3_600_000
#: Entries of the list in a page.
LISTED: Final = 128


class GroupTrim(NamedTuple):
    """A group that was judged or lost something: its verdict, for how long it was not seen, loss.

    The verdict is ``holds``, ``idle`` for a group that no longer does, or ``behind`` where groups
    do not count.
    """

    verdict: str
    idle_ms: int
    lost: int


@dataclass(frozen=True, slots=True)
class Trimmed:
    """How many entries went, how many are left, and the groups that held or were passed by.

    *is_long* says that the stream may soon be longer than it should be, *more* that another call
    would remove more at once.
    """

    gone: int
    length: int
    groups: Mapping[str, GroupTrim]
    is_long: bool
    more: bool = False


class Delisted(NamedTuple):
    """A page of the list that was trimmed: where the next one begins, empty at the end."""

    start: str
    looked: int
    gone: int


class JanitorStore:
    """The janitor's side of one shard; every method raises `RedisFault`."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, shared: SharedSettings) -> None:
        self.keys = keys
        self.shared = shared
        self._client = client
        #: When the consumers of the groups that hold were seen: to look again takes a while.
        self._seen: dict[bytes, int] = {}

    async def take_lock(self, worker_id: str) -> bool:
        """Take or keep the lock of the shard's janitor; False while another worker has it.

        A server that loses its data loses the lock too: its next holder writes the shared settings.
        """
        with as_fault("janitor"):
            return await self._take_lock(worker_id)

    async def _take_lock(self, worker_id: str) -> bool:
        holder = await self._ask("GET", self.keys.janitor)
        if holder not in (None, worker_id.encode()):
            # A clock that was set back would let a dead janitor hold its lock for that long.
            if await self._ask("PTTL", self.keys.janitor) <= LOCK_MS:
                return False
            await self._ask("DEL", self.keys.janitor)
            holder = None
        if holder is None:
            taken = await self._ask("SET", self.keys.janitor, worker_id, "NX", "PX", LOCK_MS)
            await self.assert_meta()
            return bool(taken)
        # Another janitor that took it in between does no harm: each step is safe to run twice.
        await self._ask("PEXPIRE", self.keys.janitor, LOCK_MS)
        return True

    async def drop_lock(self, worker_id: str) -> None:
        """Release the lock, so that another worker can be the janitor at once."""
        if await self._ask("GET", self.keys.janitor) == worker_id.encode():
            await self._ask("DEL", self.keys.janitor)

    async def trim(self, group_idle_ms: int) -> Trimmed:
        """Shorten the gateway stream as far as the policy and its groups allow."""
        keep, policy = self.shared.max_len, self.shared.trim
        if policy == "none":
            return Trimmed(0, 0, {}, is_long=False)
        idle_ms = None if policy == "always" else group_idle_ms
        reply = await run(self._client, calls.stream_trim(self.keys, keep, idle_ms, self._seen))
        with as_fault("stream_trim"):
            trimmed, self._seen = _read_trimmed(reply, keep)
        return trimmed

    async def forget_consumers(self) -> bool:
        """Forget names of consumers that ended long ago; return whether there are more of them."""
        crowded = await self._crowded(self.keys)
        if await self.has_feed():
            crowded.append((backlog_keys(self.keys), FEED_GROUP.encode()))
            crowded += await self._crowded(delivery_keys(self.keys))
        return any(
            [
                await forget_consumers(self._client, keys, name, _CONSUMER_MS)
                for keys, name in crowded
            ]
        )

    async def _crowded(self, keys: Keys) -> list[tuple[Keys, bytes]]:
        """Return the groups of a stream that have several names; one name stays."""
        with as_fault("groups"):
            (found,) = await run_all(self._client, [Command(["XINFO", "GROUPS", keys.stream])])
            groups = [] if has_no_key(found) else [pairs(group) for group in unwrap(found)]
            return [(keys, group[b"name"]) for group in groups if int(group[b"consumers"]) > 1]

    async def has_feed(self) -> bool:
        """Return whether a writer of the feed has run once, or a daemon that knows of the feed."""
        return bool(await self._ask("EXISTS", self.keys.feed_backlog))

    async def join_feed(self) -> None:
        """Make the groups of the feed at the beginning of stream and backlog, unless they exist."""
        for member in feed_members(self._client, self.keys, consumer=""):
            await member.join()

    def feed_backlog(self, worker_id: str) -> FeedBacklog:
        """Return the backlog, of which *worker_id* takes care."""
        return FeedBacklog(self._client, self.keys, self.shared, worker_id)

    async def shorten_leases(self, channel: str) -> int:
        """Shorten leases that last too long because the clock was set back; return how many."""
        with as_fault("lease_shorten"):
            return _whole(await run(self._client, calls.lease_shorten(self.keys, channel)))

    async def delist(self, start: str) -> Delisted:
        """Remove notifications that are gone from a page of the list, behind *start*."""
        with as_fault("listing_trim"):
            return _read_delisted(
                await run(self._client, calls.listing_trim(self.keys, start, LISTED))
            )

    async def forget_workers(self) -> None:
        """Forget the workers that reported nothing for an hour."""
        with as_fault("TIME"):
            seconds, _ = await self._ask("TIME")
            until = int(seconds) * 1000 - _FORGOTTEN_MS
        await self._ask("ZREMRANGEBYSCORE", self.keys.workers, "-inf", until)

    async def expire_dead(self, channel: str, rules: DeadRules) -> ExpiredDead:
        """Purge dead letters that are too old or too many, one batch at most."""
        with as_fault("dead letters"):
            return await expire_dead(self._client, self.keys, channel, rules, self.shared)

    async def refresh_primary(self) -> None:
        """Drop idle connections, so that the next call looks the primary up again."""
        await refresh_primary(self._client)

    async def check(self, page: Flow[None]) -> None:
        """Check a page of the state, and repair its faults."""
        with as_fault("check"):
            await run_flow(self._client, page)

    async def assert_meta(self) -> None:
        """Write the shared settings if the server has lost them."""
        await assert_deployment(self._client, self.keys, self.shared)

    async def _ask(self, *command: Any) -> Any:
        with as_fault(command[0]):
            return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py


@reader
def _read_trimmed(reply: Sequence[Any], keep: int) -> tuple[Trimmed, dict[bytes, int]]:
    """Read ``[removed, length, now_ms, more, (group, word, seen_ms, lost)...]``.

    Returns the result, and when the consumers of the groups that hold were seen.
    """
    gone, length, now, more, *groups = reply
    rows = [groups[at : at + 4] for at in range(0, len(groups), 4)]
    found = {
        name.decode("utf-8", "replace"): GroupTrim(word.decode(), int(now) - int(seen), int(lost))
        for name, word, seen, lost in rows
    }
    trimmed = Trimmed(int(gone), int(length), found, 2 * int(length) > keep, more=bool(more))
    return trimmed, {name: int(seen) for name, word, seen, _ in rows if word.decode() == Word.HOLDS}


@reader
def _read_delisted(reply: Sequence[Any]) -> Delisted:
    following, looked, gone = reply
    return Delisted(following.decode(), int(looked), int(gone))


@reader
def _whole(reply: Any) -> int:
    return int(reply)
