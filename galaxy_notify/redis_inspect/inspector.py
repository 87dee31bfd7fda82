"""What waits in a channel: counts by index, and what is late by the state of its routes.

While a route is leased its score is when the lease expires, so a schedule alone hides how late the
leased ones are. Their states have the due times; at most a page of each kind is read, and the rest
estimated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from galaxy_notify.model.ids import split_member
from galaxy_notify.model.route import readable_route
from galaxy_notify.redis_client.replies import moment, number
from galaxy_notify.redis_state.deployment import Deployment, read_all
from galaxy_notify.redis_state.keys import Keys

LATE_MS: Final = 1000
_PAGE: Final = 1000
_MOST_LEASES: Final = 1000
_READ_LEASES: Final = 64
_LEASED_MEMBERS: Final = 256


@dataclass(frozen=True, slots=True)
class ChannelBacklog:
    """What waits and rests in a channel, over all shards.

    ``oldest_overdue_ms`` is 0 if nothing is overdue.
    """

    scheduled: int = 0
    due: int = 0
    overdue: int = 0
    oldest_overdue_ms: int = 0
    leased: int = 0
    dead: int = 0
    #: On how many shards the channel is paused: a pause that was interrupted leaves some.
    paused_shards: int = 0
    #: For how long it is paused; None if it is not, or if that is unknown.
    paused_ms: int | None = None

    @property
    def paused(self) -> bool:
        """Return whether the channel is paused on any shard."""
        return self.paused_shards > 0

    def __add__(self, other: ChannelBacklog) -> ChannelBacklog:
        """Return both shards' backlog as one."""
        return ChannelBacklog(
            self.scheduled + other.scheduled,
            self.due + other.due,
            self.overdue + other.overdue,
            max(self.oldest_overdue_ms, other.oldest_overdue_ms),
            self.leased + other.leased,
            self.dead + other.dead,
            self.paused_shards + other.paused_shards,
            max(filter(None, (self.paused_ms, other.paused_ms)), default=None),
        )


def read_backlogs(
    deployment: Deployment, channels: Iterable[str], now_ms: int
) -> dict[str, ChannelBacklog]:
    """Return each channel's backlog over all shards; raise `RedisFault`."""
    page = max(20, _PAGE // deployment.shared.shards)
    shards = [
        _ShardBacklog(keys, channel, now_ms, page)
        for channel in channels
        for keys in deployment.all_keys
    ]
    for step in (_ShardBacklog.counts, _ShardBacklog.leased_members, _ShardBacklog.states):
        plans = [step(shard) for shard in shards]
        replies = iter(read_all(deployment, (command for plan in plans for command in plan)))
        for shard, plan in zip(shards, plans, strict=True):
            shard.replies.append([next(replies) for _ in plan])
    found: dict[str, ChannelBacklog] = {}
    for shard in shards:
        found[shard.channel] = found.get(shard.channel, ChannelBacklog()) + shard.backlog()
    return found


class _ShardBacklog:
    """One shard's part of a backlog, read in three steps that all shards share."""

    def __init__(self, keys: Keys, channel: str, now_ms: int, page: int) -> None:
        self.channel = channel
        self.replies: list[list[Any]] = []
        self._keys = keys
        self._now = now_ms
        self._page = page
        self._read: dict[bytes, int | None] = {}

    def counts(self) -> list[list[Any]]:
        """Count every index, and name what became due just now."""
        schedule, late = self._keys.schedule(self.channel), self._now - LATE_MS
        return [
            ["ZCARD", schedule],
            ["ZCOUNT", schedule, "-inf", self._now],
            ["ZCOUNT", schedule, "-inf", f"({late}"],
            ["ZCARD", self._keys.dead(self.channel)],
            ["SISMEMBER", self._keys.paused, self.channel],
            ["HGET", self._keys.pauses, self.channel],
            [
                *("ZRANGEBYSCORE", self._keys.leases(self.channel), f"({self._now}", "+inf"),
                *("WITHSCORES", "LIMIT", 0, _MOST_LEASES),
            ],
            ["ZRANGEBYSCORE", schedule, "-inf", self._now, "WITHSCORES", "LIMIT", 0, 1],
            ["ZRANGEBYSCORE", schedule, late, self._now, "LIMIT", 0, self._page],
        ]

    def leased_members(self) -> list[list[Any]]:
        """Name the members of some leases, and count those of the others."""
        schedule = self._keys.schedule(self.channel)
        spans = [[f"{score:.17g}"] * 2 for _, score in self.replies[0][6]]
        named = [
            ["ZRANGEBYSCORE", schedule, *span, "LIMIT", 0, _LEASED_MEMBERS]
            for span in spans[:_READ_LEASES]
        ]
        return [*named, *(["ZCOUNT", schedule, *span] for span in spans[_READ_LEASES:])]

    def states(self) -> list[list[Any]]:
        """Read the states that have the due times."""
        head = [member for member, _ in self.replies[0][7]]
        wanted = dict.fromkeys([*head, *self.replies[0][8], *self._leased[: self._page]])
        named = {member: name for member in wanted if (name := split_member(member))}
        self._read = dict.fromkeys(named)
        return [
            ["HGET", self._keys.notification(name.notification_id), name.route_id]
            for name in named.values()
        ]

    def backlog(self) -> ChannelBacklog:
        """Put together what was read."""
        scheduled, due, late, dead, paused, since, _, head, window = self.replies[0]
        for member, state in zip(self._read, self.replies[2], strict=True):
            self._read[member] = _due_ms(state)
        held = self._leased
        leased = len(held) + sum(self.replies[1][_READ_LEASES:])
        oldest = [at for at in self._read.values() if at is not None]
        oldest += [moment(score) for member, score in head if self._read.get(member) is None]
        oldest_ms = self._now - min(oldest, default=self._now)
        return ChannelBacklog(
            scheduled,
            due,
            late + self._late(window, due - late) + self._late(held, leased),
            oldest_ms if oldest_ms > LATE_MS else 0,
            leased,
            dead,
            int(paused),
            max(0, self._now - number(since)) if paused and number(since) else None,
        )

    @property
    def _leased(self) -> list[bytes]:
        return [member for page in self.replies[1][:_READ_LEASES] for member in page]

    def _late(self, members: Sequence[bytes], total: int) -> int:
        """Return how many of *total* are late, judged by those that were read."""
        known = [at for member in members if (at := self._read.get(member)) is not None]
        late = sum(at < self._now - LATE_MS for at in known)
        return round(late * max(total, len(known)) / len(known)) if known else 0


def _due_ms(state: bytes | None) -> int | None:
    route = readable_route(state)
    return route and route.due_at_ms
