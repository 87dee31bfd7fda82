"""Arguments and replies of the scripts, as pure functions shared by sync and async callers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.scripts import Argument, Call, script


class NewNotification(NamedTuple):
    """A notification, or a part of it, ready to be accepted."""

    notification_id: str
    digest: bytes
    record: bytes
    state: bytes
    due_at_ms: int | None
    keep_ms: int
    routes: Sequence[str]
    born_cancelled: bool = False


class Answer(NamedTuple):
    """A script's word on one item, and the detail that goes with it."""

    word: str
    detail: str


def accept(keys: Keys, items: Iterable[NewNotification], now: int | None = None) -> Call:
    """Create notifications of one shard with at most a thousand routes in all."""
    args: list[Argument] = [keys.tag, _time(now)]
    for item in items:
        args += (
            item.notification_id,
            item.digest,
            item.record,
            item.state,
            "" if item.due_at_ms is None else item.due_at_ms,
            item.keep_ms,
            "cancelled" if item.born_cancelled else "",
            len(item.routes),
        )
        args += item.routes
    return Call(script("accept"), [keys.totals, keys.never], args)


def answers(flat: Sequence[Any]) -> list[Answer]:
    """Read alternating words and details."""
    return [Answer(_text(flat[i]), _text(flat[i + 1])) for i in range(0, len(flat), 2)]


def words(flat: Sequence[Any]) -> list[str]:
    """Read a list of words."""
    return [_text(word) for word in flat]


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """What one claim may take: members, time under lease, bytes, and a stream's length."""

    members: int
    ttl_ms: int
    bytes: int
    record_bytes: int
    hold_at: int


class ClaimedMember(NamedTuple):
    """One member under lease, as it was read: nothing of it is decoded yet."""

    member: bytes
    verdict: str
    state: bytes
    abandoned: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim answered; ``next_due_ms`` only where nothing was due."""

    word: str
    token: str
    now_ms: int
    next_due_ms: int | None = None
    stream_length: int = 0
    suspects: int = 0
    members: Sequence[ClaimedMember] = ()
    records: dict[bytes, bytes] = field(default_factory=dict)


class Slot(NamedTuple):
    """Who claims, with the token of this claim."""

    name: str
    token: str


def claim(
    keys: Keys, channel: str, slot: Slot, limits: ClaimLimits, *, alone: bool, now: int | None
) -> Call:
    """Take due members of *channel* under a lease."""
    names = [keys.schedule(channel), keys.leases(channel), keys.claims, keys.paused]
    names += [keys.stream, keys.totals, keys.wake(channel), keys.never]
    args: list[Argument] = [
        keys.tag,
        _time(now),
        slot.name,
        slot.token,
        channel,
        limits.members,
        limits.ttl_ms,
        limits.bytes,
        limits.record_bytes,
        limits.hold_at,
        "1" if alone else "",
    ]
    return Call(script("claim"), names, args)


def read_claim(reply: Sequence[Any], token: str) -> Claim:
    """Read what claim answered."""
    word, now_ms, detail, suspects = _text(reply[0]), int(reply[1]), reply[2], int(reply[3])
    if word == "idle":
        due = float(detail) if detail else float("inf")
        next_due = int(due) if due < 1e15 else None
        return Claim(word, token, now_ms, next_due_ms=next_due, suspects=suspects)
    if word != "claimed":
        return Claim(word, token, now_ms, stream_length=int(detail or 0), suspects=suspects)
    flat, records = reply[4], reply[5]
    steps = iter(flat)
    members = [
        ClaimedMember(member, verdict.decode(), state, abandoned)
        for member, verdict, state, abandoned in zip(steps, steps, steps, steps, strict=True)
    ]
    pairs = iter(records)
    found = dict(zip(pairs, pairs, strict=True))
    return Claim(word, token, now_ms, suspects=suspects, members=members, records=found)


class Event(NamedTuple):
    """The part of a gateway event that the routes of one notification share."""

    notification_id: str
    keep_ms: int
    expires_at_ms: int | None
    event_type: str
    payload: bytes
    request_id: str
    trace_id: str
    traceparent: str


class Delivery(NamedTuple):
    """The part of a gateway event that is one route's own, and its state once published."""

    route_id: str
    user_id: str
    event_id: str
    state: bytes


class Settlement:
    """The outcomes of one claim's members, in the order in which settle answers them."""

    def __init__(self) -> None:
        """Start empty."""
        self._args: list[Argument] = []
        self._open: tuple[Event, list[Delivery]] | None = None
        self.members: list[bytes] = []

    def __len__(self) -> int:
        return len(self.members)

    def publish(self, member: bytes, event: Event, delivery: Delivery) -> None:
        """Publish a route; consecutive routes with an equal event share its arguments."""
        self.members.append(member)
        if self._open and self._open[0] == event:
            self._open[1].append(delivery)
            return
        self._close()
        self._open = (event, [delivery])

    def retry(self, member: bytes, state: bytes, delay_ms: int) -> None:
        """Schedule another attempt."""
        self._add(member, "retry", state, delay_ms)

    def bury(self, member: bytes, state: bytes) -> None:
        """Dead-letter a route."""
        self._add(member, "bury", state)

    def expire(self, member: bytes, state: bytes, keep_ms: int) -> None:
        """End a route that is too late."""
        self._add(member, "expire", state, keep_ms)

    def release(self, member: bytes, delay_ms: int = 0) -> None:
        """Give a route back untouched."""
        self._add(member, "release", delay_ms)

    def drop(self, member: bytes, reason: str) -> None:
        """Move a member that can't be used to the orphans."""
        self._add(member, "drop", reason)

    def call(self, keys: Keys, channel: str, token: str, now: int | None = None) -> Call:
        """Return the call that settles everything added so far."""
        self._close()
        names = [keys.schedule(channel), keys.leases(channel), keys.dead(channel), keys.stream]
        names += [keys.totals, keys.orphans, keys.never]
        return Call(script("settle"), names, [keys.tag, _time(now), token, *self._args])

    def _add(self, member: bytes, outcome: str, *values: Argument) -> None:
        self._close()
        self.members.append(member)
        self._args += (outcome, member, *values)

    def _close(self) -> None:
        if self._open is None:
            return
        event, deliveries = self._open
        expires = "" if event.expires_at_ms is None else event.expires_at_ms
        self._args += ("publish", event.notification_id, event.keep_ms, expires, *event[3:])
        self._args.append(len(deliveries))
        for delivery in deliveries:
            self._args += delivery
        self._open = None


class Settled(NamedTuple):
    """What settle answered: one answer for each member, in order."""

    now_ms: int
    stream_length: int
    answers: list[Answer]


def read_settled(reply: Sequence[Any]) -> Settled:
    """Read what settle answered."""
    return Settled(int(reply[0]), int(reply[1]), answers(reply[2:]))


class Correction(NamedTuple):
    """Where a misplaced member belongs: ``schedule:<channel>`` or ``dead:<channel>``."""

    member: bytes
    index: str
    score: int


def heal(keys: Keys, channel: str, token: str, items: Iterable[Correction]) -> Call:
    """Put misplaced members, found under *token*, where they belong."""
    names = [keys.schedule(channel), keys.leases(channel), keys.never]
    return Call(script("heal"), names, [keys.tag, token, *_flat(items)])


class RouteChange(NamedTuple):
    """A route's state as it was read, and the one to write if it is still so."""

    route_id: str
    before: bytes
    after: bytes


def cancel(
    keys: Keys, notification_id: str, changes: Iterable[RouteChange], *, keep_ms: int, mark: bool
) -> Call:
    """Take routes of a notification back; *mark* makes later parts be born cancelled."""
    args: list[Argument] = [keys.tag, "", notification_id, keep_ms, "1" if mark else ""]
    names = [keys.notification(notification_id), keys.totals, keys.never]
    return Call(script("cancel"), names, [*args, *_flat(changes)])


class DeadChange(NamedTuple):
    """A dead letter's state as it was read, and the one to write if it is still so."""

    notification_id: str
    route_id: str
    before: bytes
    after: bytes


def replay(keys: Keys, items: Iterable[DeadChange]) -> Call:
    """Send dead letters on their way again."""
    return Call(script("replay"), [keys.totals, keys.never], [keys.tag, "", *_flat(items)])


def purge(keys: Keys, items: Iterable[DeadChange], keep_ms: int) -> Call:
    """Give dead letters up."""
    args: list[Argument] = [keys.tag, "", keep_ms, *_flat(items)]
    return Call(script("purge"), [keys.totals, keys.never], args)


def pause(keys: Keys, channel: str) -> Call:
    """Stop claiming a channel."""
    return Call(script("pause"), [keys.paused, keys.never], [channel])


def resume(keys: Keys, channel: str) -> Call:
    """Claim a paused channel again."""
    return Call(script("resume"), [keys.paused, keys.wake(channel), keys.never], [channel])


def lapse(keys: Keys, channel: str, members: Iterable[bytes]) -> Call:
    """Make members due whose lease a clock set back holds too long."""
    names = [keys.schedule(channel), keys.leases(channel), keys.never]
    return Call(script("lapse"), names, ["", *members])


def trim(keys: Keys, max_len: int, group_idle_ms: int) -> Call:
    """Shorten the gateway stream as far as its groups allow."""
    return Call(script("trim"), [keys.stream, keys.never], [max_len, group_idle_ms, ""])


def _flat(items: Iterable[tuple[Argument, ...]]) -> Iterator[Argument]:
    for item in items:
        yield from item


def _time(now: int | None) -> Argument:
    return "" if now is None else now


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
