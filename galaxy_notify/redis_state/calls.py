"""Arguments and replies of the scripts, as pure functions shared by sync and async callers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final, NamedTuple

from galaxy_notify.redis_client.scripts import Argument, Call, script
from galaxy_notify.redis_state.keys import Keys

# A score beyond every date, such as +inf, is never due.
_NEVER_MS: Final = 1e15


class Answer(NamedTuple):
    """A script's word on one item, and the detail that goes with it."""

    word: str
    detail: str


def answers(flat: Sequence[Any], items: int | None = None) -> list[Answer]:
    """Read alternating words and details; raise where they do not answer each of so many items."""
    values = iter(flat)
    found = [
        Answer(word.decode(), _text(detail)) for word, detail in zip(values, values, strict=True)
    ]
    _check_count(found, items)
    return found


def words(flat: Sequence[Any], items: int | None = None) -> list[str]:
    """Read a list of words; raise where they do not answer each of so many items."""
    found = [_text(word) for word in flat]
    _check_count(found, items)
    return found


def _check_count(found: Sequence[object], items: int | None) -> None:
    if items is not None and len(found) != items:
        raise ValueError(f"{len(found)} answers to {items} items")


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
    state: bytes
    verdict: str = ""
    abandoned: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim answered; ``next_due_ms`` only where nothing was due.

    One that was *asked_again* may still be on its way once more, and take others when it arrives.
    """

    word: str
    token: str
    now_ms: int
    next_due_ms: int | None = None
    stream_length: int = 0
    suspects: int = 0
    members: Sequence[ClaimedMember] = ()
    records: dict[bytes, bytes] = field(default_factory=dict)
    asked_again: bool = False


def claim(
    keys: Keys, channel: str, token: str, limits: ClaimLimits, *, alone: bool, now: int | None
) -> Call:
    """Take due members of *channel* under a lease of its own, named by *token*."""
    names = [keys.schedule(channel), keys.leases(channel), keys.abandoned(channel), keys.paused]
    names += [keys.stream, keys.totals, keys.wake(channel), keys.never]
    args: list[Argument] = [
        keys.tag,
        time_argument(now),
        token,
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
        next_due = ceil(due) if due < _NEVER_MS else None
        return Claim(word, token, now_ms, next_due_ms=next_due, suspects=suspects)
    if word != "claimed":
        return Claim(word, token, now_ms, stream_length=int(detail or 0), suspects=suspects)
    flat, records, odd = reply[4], reply[5], reply[6]
    if not {*map(type, flat), *map(type, records)} <= {bytes}:
        raise TypeError("what is claimed is no bytes")
    steps, pairs, oddities = iter(flat), iter(records), iter(odd)
    members = [ClaimedMember(member, state) for member, state in zip(steps, steps, strict=True)]
    for place, verdict, abandoned in zip(oddities, oddities, oddities, strict=True):
        member, state, *_ = members[place - 1]
        members[place - 1] = ClaimedMember(member, state, _text(verdict), abandoned)
    found = dict(zip(pairs, pairs, strict=True))
    return Claim(word, token, now_ms, suspects=suspects, members=members, records=found)


class Correction(NamedTuple):
    """Where a misplaced member belongs: ``schedule:<channel>`` or ``dead:<channel>``."""

    member: bytes
    target: str
    score: int


def heal(keys: Keys, channel: str, token: str, items: Iterable[Correction]) -> Call:
    """Put misplaced members, found under *token*, where they belong."""
    names = [keys.schedule(channel), keys.leases(channel), keys.abandoned(channel), keys.never]
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


def reschedule(
    keys: Keys, notification_id: str, changes: Iterable[RouteChange], *, due_ms: int, mark: bool
) -> Call:
    """Give routes of a notification another due time; *mark* says that it is that of all."""
    args: list[Argument] = [keys.tag, "", notification_id, due_ms, "1" if mark else ""]
    names = [keys.notification(notification_id), keys.never]
    return Call(script("reschedule"), names, [*args, *_flat(changes)])


def pause(keys: Keys, channel: str) -> Call:
    """Stop claiming a channel."""
    return Call(script("pause"), [keys.paused, keys.pauses, keys.never], [channel, ""])


def resume(keys: Keys, channel: str) -> Call:
    """Claim a paused channel again."""
    names = [keys.paused, keys.wake(channel), keys.pauses, keys.never]
    return Call(script("resume"), names, [channel])


def lapse(keys: Keys, channel: str) -> Call:
    """Shorten leases that a clock set back lets last too long."""
    names = [keys.schedule(channel), keys.leases(channel), keys.never]
    return Call(script("lapse"), names, [""])


def trim(
    keys: Keys, max_len: int, group_idle_ms: int | None, seen: Mapping[bytes, int] | None = None
) -> Call:
    """Shorten the gateway stream as far as its groups allow; for None they do not count.

    *seen* says when the consumers of groups were seen, in ms, as far as that is known.
    """
    args: list[Argument] = [max_len, "" if group_idle_ms is None else group_idle_ms, ""]
    args += _flat((seen or {}).items())
    return Call(script("trim"), [keys.stream, keys.lost, keys.never], args)


def delist(keys: Keys, start: str, count: int) -> Call:
    """Remove what is listed and not there any more, from some of the entries behind *start*."""
    return Call(script("delist"), [keys.accepted, keys.never], [keys.tag, start, count])


def _flat(items: Iterable[tuple[Argument, ...]]) -> Iterator[Argument]:
    for item in items:
        yield from item


def time_argument(now: int | None) -> Argument:
    return "" if now is None else now


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
