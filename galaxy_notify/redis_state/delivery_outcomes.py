"""What became of routes of external channels, as arguments and reply of ``route_end``.

A place claims one route when it is ready to send it. So the lease stands for a send that may have
begun: whoever finds it expired knows that the route may have been sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.redis_client.replies import reader, text
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state.calls import Answer, time_argument
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.settlement import Drop, Expire, Release, RetryLater

#: Members that one call may name.
MOST_ENDED: Final = 256


class Deliver(NamedTuple):
    """It was sent; the notification is kept for *keep_ms* once no route needs it."""

    member: bytes
    state: bytes
    keep_ms: int


class Skip(NamedTuple):
    """It was not sent, for one of the reasons `SKIPPED_AT_SEND`."""

    member: bytes
    state: bytes
    keep_ms: int
    reason: str


class GiveUp(NamedTuple):
    """Dead-letter it; the state has the failure, whose class is named once more."""

    member: bytes
    state: bytes
    failure_class: str


DeliveryOutcome = Deliver | Skip | Expire | RetryLater | GiveUp | Release | Drop
_WORDS: Final[dict[type[DeliveryOutcome], str]] = {
    Deliver: "deliver",
    Skip: "skip",
    Expire: "expire",
    RetryLater: "retry",
    GiveUp: "bury",
    Release: "release",
    Drop: "drop",
}


def route_end(
    keys: Keys, channel: str, token: str, outcomes: Sequence[DeliveryOutcome], now: int | None
) -> ScriptCall:
    """Record what became of members of a lease, at most `MOST_ENDED`.

    After a fault it is to be sent again, until the lease expires: where it has run already, it
    answers `stale` and changes nothing. It runs at maxmemory.
    """
    names = [keys.schedule(channel), keys.leases(channel), keys.abandoned(channel)]
    names += [keys.dead(channel), keys.deliveries, keys.totals, keys.orphans, keys.never]
    args: list[Argument] = [keys.tag, time_argument(now), token, channel]
    for outcome in outcomes:
        args += _arguments(outcome)
    return ScriptCall(script("route_end"), names, args)


def _arguments(outcome: DeliveryOutcome) -> tuple[Argument, ...]:
    state, ms, reason = b"", 0, ""
    match outcome:
        case Deliver(_, state, ms) | Expire(_, state, ms) | RetryLater(_, state, ms):
            pass
        case Skip(_, state, ms, reason):
            pass
        case GiveUp(_, state, reason):
            pass
        case Release(_, ms):
            pass
        case Drop(_, reason):
            pass
    return _WORDS[type(outcome)], outcome.member, state, ms, reason


class Ended(NamedTuple):
    """What ``route_end`` answered: one answer for each member, in order."""

    now_ms: int
    answers: list[Answer]


@reader
def read_ended(reply: Sequence[Any], items: int) -> Ended:
    """Read the answers; raise where there is not one for each of *items*."""
    now_ms, *flat = reply
    steps = iter(flat)
    found = [Answer(text(word), text(detail)) for word, detail in zip(steps, steps, strict=True)]
    if len(found) != items:
        raise ValueError(f"{len(found)} answers to {items} items")
    return Ended(int(now_ms), found)
