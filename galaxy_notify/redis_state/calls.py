"""Arguments and replies of the scripts, as pure functions shared by sync and async callers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from math import ceil
from typing import Any, Final, NamedTuple

from galaxy_notify.redis_client.replies import reader, text
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state.keys import Keys

# A score beyond every date, such as +inf, is never due.
_NEVER_MS: Final = 1e15


class Answer(NamedTuple):
    """A script's answer for one item: its word, and a detail that depends on the word."""

    word: str
    detail: str


@reader
def answers(flat: Sequence[Any], items: int | None = None) -> list[Answer]:
    """Read alternating words and details; raise `Garbled` unless there are *items* answers."""
    values = iter(flat)
    found = [
        Answer(word.decode(), text(detail)) for word, detail in zip(values, values, strict=True)
    ]
    _check_count(found, items)
    return found


@reader
def words(flat: Sequence[Any], items: int | None = None) -> list[str]:
    """Read a list of words; raise `Garbled` unless there are *items* of them."""
    found = [text(word) for word in flat]
    _check_count(found, items)
    return found


def _check_count(found: Sequence[object], items: int | None) -> None:
    if items is not None and len(found) != items:
        raise ValueError(f"{len(found)} answers to {items} items")


class RouteChange(NamedTuple):
    """A route's state as it was read, and the one to write if it is still so."""

    route_id: str
    before: bytes
    after: bytes


def route_cancel(
    keys: Keys, notification_id: str, changes: Iterable[RouteChange], *, keep_ms: int, mark: bool
) -> ScriptCall:
    """Take routes of a notification back; *mark* cancels later parts as they arrive."""
    args: list[Argument] = [keys.tag, "", notification_id, keep_ms, "1" if mark else ""]
    names = [keys.notification(notification_id), keys.totals, keys.never]
    return ScriptCall(script("route_cancel"), names, [*args, *flat(changes)])


def route_reschedule(
    keys: Keys,
    notification_id: str,
    changes: Iterable[tuple[RouteChange, int]],
    *,
    due_ms: int,
    mark: bool,
) -> ScriptCall:
    """Give routes of a notification another due time, each with the delay of its channel in ms.

    *mark* sets it for the whole notification.
    """
    args: list[Argument] = [keys.tag, "", notification_id, due_ms, "1" if mark else ""]
    for change, delay_ms in changes:
        args += (*change, delay_ms)
    return ScriptCall(
        script("route_reschedule"), [keys.notification(notification_id), keys.never], args
    )


def channel_pause(keys: Keys, channel: str) -> ScriptCall:
    """Stop claiming a channel."""
    return ScriptCall(
        script("channel_pause"), [keys.paused, keys.pauses, keys.never], [channel, ""]
    )


def channel_resume(keys: Keys, channel: str) -> ScriptCall:
    """Claim a paused channel again."""
    names = [keys.paused, keys.wake(channel), keys.pauses, keys.never]
    return ScriptCall(script("channel_resume"), names, [channel])


def lease_shorten(keys: Keys, channel: str) -> ScriptCall:
    """Shorten leases that a clock set back lets last too long."""
    names = [keys.schedule(channel), keys.leases(channel), keys.never]
    return ScriptCall(script("lease_shorten"), names, [""])


def stream_trim(
    keys: Keys, max_len: int, group_idle_ms: int | None, seen: Mapping[bytes, int] | None = None
) -> ScriptCall:
    """Shorten the gateway stream as far as its groups allow; for None they do not count.

    *seen* says when the consumers of groups were seen, in ms, as far as that is known.
    """
    args: list[Argument] = [max_len, "" if group_idle_ms is None else group_idle_ms, ""]
    args += flat((seen or {}).items())
    return ScriptCall(script("stream_trim"), [keys.stream, keys.lost, keys.never], args)


def listing_trim(keys: Keys, start: str, count: int) -> ScriptCall:
    """Remove notifications that are gone from *count* entries of the list behind *start*."""
    return ScriptCall(script("listing_trim"), [keys.accepted, keys.never], [keys.tag, start, count])


def flat(items: Iterable[tuple[Argument, ...]]) -> Iterator[Argument]:
    """Yield the arguments of all items."""
    return chain.from_iterable(items)


def due_time(score: bytes) -> int | None:
    """Return a score of the schedule in whole ms; None if it is empty, or never due."""
    due = float(score) if score else float("inf")
    return ceil(due) if due < _NEVER_MS else None


def time_argument(now: int | None) -> Argument:
    return "" if now is None else now
