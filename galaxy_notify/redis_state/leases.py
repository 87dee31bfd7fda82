"""Arguments and replies of claim and reposition: taking a lease.

lua/README.md explains leases, their tokens and their scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any, Final, NamedTuple

from galaxy_notify.redis_client.replies import reader, text
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state.calls import due_time, time_argument
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.words import Word


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """The limits of one claim: members, lease time in ms, bytes, and the stream's length.

    With *at_most_once* its members count as abandoned from the claim on until they have an outcome,
    but not in its own reply: however the lease ends without one, the next claim knows that they may
    have been sent.
    """

    members: int
    ttl_ms: int
    bytes: int
    record_bytes: int
    hold_at: int
    at_most_once: bool = False


class ClaimedMember(NamedTuple):
    """One member under lease, as it was read and not yet decoded."""

    member: bytes
    state: bytes
    verdict: str = ""
    abandoned: int = 0


# A class of named fields is called in Python; thousands of them a second are made in C.
_usual_member: Final[Callable[[tuple[bytes, bytes, str, int]], ClaimedMember]] = partial(
    tuple.__new__, ClaimedMember
)
_NO_VERDICTS: Final = repeat("")
_NEVER_ABANDONED: Final = repeat(0)


@dataclass(frozen=True, slots=True)
class Claim:
    """The reply of a claim; *word* is ``claimed``, or why nothing was.

    *next_due_ms* is set only if nothing was due. After *asked_again* the first request may still be
    on its way, and claim other members when it arrives.
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


def route_claim(
    keys: Keys, channel: str, token: str, limits: ClaimLimits, *, alone: bool, now: int | None
) -> ScriptCall:
    """Take due members of *channel* under a lease of its own, named by *token*."""
    names = [keys.schedule(channel), keys.leases(channel), keys.abandoned(channel), keys.paused]
    # `never`, the last key of every script, never exists. The notifications are named
    # inside the script, where a cluster does not see them: while their slot moves, it would run
    # the script on the half that is still there. A key that is absent makes it answer ASK or
    # TRYAGAIN instead, for the whole script.
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
        "1" if limits.at_most_once else "",
    ]
    return ScriptCall(script("route_claim"), names, args)


@reader
def read_claim(reply: Sequence[Any], token: str) -> Claim:
    """Read the reply ``[word, now_ms, detail, suspects, members, records, irregular]``.

    *detail* is the next due time for ``idle``, and else the length of the stream.
    """
    word, now_ms, detail, suspects = text(reply[0]), int(reply[1]), reply[2], int(reply[3])
    if word == Word.IDLE:
        return Claim(word, token, now_ms, next_due_ms=due_time(detail), suspects=suspects)
    if word != Word.CLAIMED:
        return Claim(word, token, now_ms, stream_length=int(detail or 0), suspects=suspects)
    flat, records, odd = reply[4], reply[5], reply[6]
    if not {*map(type, flat), *map(type, records)} <= {bytes}:
        raise TypeError("a claimed member, state or record is not bytes")
    steps, pairs, oddities = iter(flat), iter(records), iter(odd)
    members = [*map(_usual_member, zip(steps, steps, _NO_VERDICTS, _NEVER_ABANDONED, strict=False))]
    if 2 * len(members) != len(flat):
        raise ValueError("a member without a state")
    for place, verdict, abandoned in zip(oddities, oddities, oddities, strict=True):
        member, state, *_ = members[place - 1]
        members[place - 1] = ClaimedMember(member, state, text(verdict), abandoned)
    found = dict(zip(pairs, pairs, strict=True))
    return Claim(word, token, now_ms, suspects=suspects, members=members, records=found)


class Correction(NamedTuple):
    """Where a misplaced member belongs: ``schedule:<channel>`` or ``dead:<channel>``."""

    member: bytes
    target: str
    score: int


def route_reposition(
    keys: Keys, channel: str, token: str, items: Iterable[Correction]
) -> ScriptCall:
    """Put misplaced members, found under *token*, where they belong."""
    names = [keys.schedule(channel), keys.leases(channel), keys.abandoned(channel), keys.never]
    return ScriptCall(
        script("route_reposition"),
        names,
        [keys.tag, token, *(part for item in items for part in item)],
    )
