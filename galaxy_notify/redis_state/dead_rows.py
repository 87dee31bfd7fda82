"""Dead letters as they lie in Redis: what to read, how the replies read, what to write back.

It does no I/O: the operators' tools (synchronous) and the janitor (asynchronous) share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from galaxy_notify.model.failure_classes import DELIVERY_UNKNOWN
from galaxy_notify.model.ids import Member, split_member
from galaxy_notify.model.notification import Notification, readable_record
from galaxy_notify.model.route import Route, Status, readable_route
from galaxy_notify.redis_client.flows import unwrap, unwrap_or
from galaxy_notify.redis_client.scripts import Command, ScriptCall, script
from galaxy_notify.redis_state.calls import flat
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import SharedSettings

#: Members that one call of replay or purge may name.
BATCH: Final = 256


class DeadChange(NamedTuple):
    """A dead letter's state as it was read, and the one to write if it is still so."""

    notification_id: str
    route_id: str
    before: bytes
    after: bytes


class DeadEntry(NamedTuple):
    """A line of the index of dead letters; entries sort by when they died."""

    dead_at_ms: int
    member: bytes
    channel: str
    shard: int

    @property
    def name(self) -> Member | None:
        """Return the route that it names, or None where it is foreign to this index."""
        name = split_member(self.member)
        return name if name and name.channel == self.channel else None


@dataclass(frozen=True)
class DeadRow:
    """An entry of the index with what is stored of its route; None is what has vanished."""

    keys: Keys
    entry: DeadEntry
    record: bytes | None = None
    state: bytes | None = None

    @cached_property
    def route(self) -> Route | None:
        """Return the route's state, or None where it cannot be read."""
        return readable_route(self.state)

    @cached_property
    def notification(self) -> Notification | None:
        """Return the notification, or None where it cannot be read."""
        name = self.entry.name
        return readable_record(name.notification_id, self.record) if name else None

    @property
    def misplaced(self) -> bool:
        """Return whether its state says that it is no dead letter."""
        return self.route is not None and self.route.status is not Status.DEAD_LETTER

    @property
    def suspect(self) -> bool:
        """Return whether it is damaged, unless it was moved while it was read."""
        return self.entry.name is not None and (self.state is None or self.misplaced)

    @property
    def why_no_replay(self) -> str:
        """Return why it cannot be replayed; empty if it can."""
        if self.state is None or self.record is None:
            return "its record is missing: it can only be purged"
        if self.route is None:
            return "its state cannot be read: it can only be purged"
        return self.why_no_purge

    @property
    def may_have_been_sent(self) -> bool:
        """Return whether a replay could send a second time what must be sent once at most."""
        failure = self.route.failure if self.route else None
        return failure is not None and failure.failure_class == DELIVERY_UNKNOWN

    @property
    def why_no_purge(self) -> str:
        """Return why it cannot be purged; empty if it can, even where little is left of it."""
        if not self.misplaced or self.route is None:
            return ""
        return f"its state is {self.route.status}: run galaxy-notify fsck"

    def replayed(self, actor: str) -> DeadChange:
        """Return the change that sends it on its way again, in its next generation."""
        name, route = self.entry.name, self.route
        if name is None or route is None or self.state is None:
            raise ValueError(self.why_no_replay)
        return DeadChange(name.notification_id, name.route_id, self.state, route.replayed(actor))

    def purged(self, actor: str) -> DeadChange | None:
        """Return the change that gives it up; None where the entry names no route."""
        name, at_ms = self.entry.name, self.entry.dead_at_ms
        if name is None:
            return None
        # Of a state that cannot be read, nothing but its end is known.
        route = self.route or Route(Status.DEAD_LETTER, due_at_ms=at_ms, at_ms=at_ms)
        before, after = self.state or b"", route.purged(actor)
        return DeadChange(name.notification_id, name.route_id, before, after)

    def keep_ms(self, shared: SharedSettings) -> int:
        """Return how long the notification is kept once no route needs it."""
        found = self.notification
        keyed = found is None or bool(found.idempotency_key)
        return shared.keep_ms(keyed=keyed, kind=found.type if found else "")


def readings(rows: Iterable[tuple[Keys, DeadEntry]]) -> dict[tuple[str, str], Command]:
    """Return one reading for each notification among the entries, by shard tag and id."""
    wanted: dict[tuple[str, str], Command] = {}
    for keys, entry in rows:
        if (name := entry.name) is None:
            continue
        key = keys.notification(name.notification_id)
        read = wanted.setdefault(
            (keys.tag, name.notification_id), Command(["HMGET", key, "record"])
        )
        read.command.append(name.route_id)
    return wanted


def read_rows(
    rows: Sequence[tuple[Keys, DeadEntry]],
    asked: dict[tuple[str, str], Command],
    replies: Sequence[Any],
) -> Iterator[DeadRow]:
    """Put entries and the replies to their readings together, in order."""
    # A key of another type holds no record: what it stands for has vanished.
    stored = {
        where: dict(
            zip(read.command[2:], unwrap_or(reply, [None] * (len(read.command) - 2)), strict=True)
        )
        for (where, read), reply in zip(asked.items(), replies, strict=True)
    }
    for keys, entry in rows:
        if (name := entry.name) is None:
            yield DeadRow(keys, entry)
            continue
        fields = stored[keys.tag, name.notification_id]
        yield DeadRow(keys, entry, fields.get("record"), fields.get(name.route_id))


def read_entries(reply: Any, channel: str, shard: int) -> list[DeadEntry]:
    """Read members with their scores."""
    return [DeadEntry(_ms(score), member, channel, shard) for member, score in unwrap(reply)]


def route_replay(keys: Keys, changes: Iterable[DeadChange]) -> ScriptCall:
    """Send dead letters on their way again."""
    args = [keys.tag, "", *flat(changes)]
    return ScriptCall(script("route_replay"), [keys.totals, keys.never], args)


def route_purge(keys: Keys, changes: Iterable[DeadChange], keep_ms: int) -> ScriptCall:
    """Purge dead letters."""
    args = [keys.tag, "", keep_ms, *flat(changes)]
    return ScriptCall(script("route_purge"), [keys.totals, keys.never], args)


def _ms(score: float) -> int:
    return int(score) if 0 <= score < 10**13 else 0
