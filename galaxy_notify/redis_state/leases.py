"""Arguments and replies of claim, settle and reposition: taking a lease, and ending it.

lua/README.md explains leases, their tokens and their scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from galaxy_notify.redis_client.replies import reader, text
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state.calls import Answer, answers, due_time, time_argument
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.words import Word


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """The limits of one claim: members, lease time in ms, bytes, and the stream's length."""

    members: int
    ttl_ms: int
    bytes: int
    record_bytes: int
    hold_at: int


class ClaimedMember(NamedTuple):
    """One member under lease, as it was read and not yet decoded."""

    member: bytes
    state: bytes
    verdict: str = ""
    abandoned: int = 0


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
    members = [ClaimedMember(member, state) for member, state in zip(steps, steps, strict=True)]
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


class EventKind(NamedTuple):
    """What the events of many notifications share: settle is given it once for all of them."""

    keep_ms: int
    expires_at_ms: int | None
    #: Whether the notification has no other route.
    is_sole: bool
    type: str
    request_id: str
    trace_id: str
    traceparent: str
    event_id_suffix: str
    #: What follows the times in the state of the published route.
    state_body: bytes


class Publish(NamedTuple):
    """Append the route's event to the stream; *due_at_ms* is what its state keeps."""

    member: bytes
    route_id: bytes | str
    notification_id: str
    due_at_ms: int
    payload: bytes
    kind: EventKind


class RetryLater(NamedTuple):
    """Schedule another attempt."""

    member: bytes
    state: bytes
    delay_ms: int


class Bury(NamedTuple):
    """Dead-letter the route."""

    member: bytes
    state: bytes


class Expire(NamedTuple):
    """End a route that is too late."""

    member: bytes
    state: bytes
    keep_ms: int


class Release(NamedTuple):
    """Make the route due again, without a change."""

    member: bytes
    delay_ms: int = 0


class Drop(NamedTuple):
    """Move a member that can't be used to the orphans."""

    member: bytes
    reason: str


Unpublished = RetryLater | Bury | Expire | Release | Drop
RouteOutcome = Publish | Unpublished
_WORDS: Final[dict[type[Unpublished], str]] = {
    RetryLater: "retry",
    Bury: "bury",
    Expire: "expire",
    Release: "release",
    Drop: "drop",
}


class Settlement:
    """The outcomes of one claim's members, as settle takes and answers them: events come first.

    Its first write is the first XADD: a server that refuses writes (OOM, MISCONF, NOREPLICAS)
    refuses that one, and nothing at all is written. Only then it drops the lease, so a second run
    of the same call, however late, finds none and answers `stale` for every member.
    """

    def __init__(self, outcomes: Iterable[RouteOutcome] = ()) -> None:
        """Prepare; the outcomes may stand in any order."""
        made = list(outcomes)
        self._published = [outcome for outcome in made if isinstance(outcome, Publish)]
        self._others = [outcome for outcome in made if not isinstance(outcome, Publish)]

    def __len__(self) -> int:
        return len(self._published) + len(self._others)

    def add(self, outcome: RouteOutcome) -> None:
        """Add what becomes of one more member."""
        if isinstance(outcome, Publish):
            self._published.append(outcome)
        else:
            self._others.append(outcome)

    @property
    def members(self) -> list[bytes]:
        """Return the members in the order in which settle answers them."""
        return [outcome.member for outcome in (*self._published, *self._others)]

    def call(
        self, keys: Keys, channel: str, token: str, now: int | None = None, claimed: int = 0
    ) -> ScriptCall:
        """Return the call that settles everything added so far.

        *claimed* is how many members the claim gave: if all are settled, the whole lease ends. It
        is 0 where the claim may arrive once more, and take as many others.
        """
        whole = claimed if claimed == len(self) else ""
        names = [keys.schedule(channel), keys.leases(channel), keys.abandoned(channel)]
        names += [keys.dead(channel), keys.stream, keys.totals, keys.orphans, keys.never]
        args: list[Any] = [keys.tag, time_argument(now), token, channel, whole]
        args += _event_arguments(self._published)
        for outcome in self._others:
            args += (_WORDS[type(outcome)], *outcome)
        return ScriptCall(script("route_settle"), names, args)


def _event_arguments(events: Iterable[Publish]) -> list[Any]:
    """Return the number of kinds, then each kind with its notifications, and these with routes.

    An event of the same kind, or of the same notification, as that before it shares its arguments.
    """
    args: list[Any] = [0]
    kind: EventKind | None = None
    shared: tuple[str, int, bytes] | None = None
    notifications_at = routes_at = 0
    for event in events:
        _, route_id, notification_id, due_at_ms, payload, its_kind = event
        if its_kind is not kind and its_kind != kind:
            kind, shared = its_kind, None
            args[0] += 1
            args += _kind_arguments(kind)
            args.append(0)
            notifications_at = len(args) - 1
        if (notification_id, due_at_ms, payload) == shared:
            args[routes_at] += 1
            args.append(route_id)
            continue
        shared = (notification_id, due_at_ms, payload)
        args[notifications_at] += 1
        routes_at = len(args) + 3
        args += (notification_id, payload, b"%013d" % due_at_ms, 1, route_id)
    return args


def _kind_arguments(kind: EventKind) -> Iterable[Argument]:
    expires = "" if kind.expires_at_ms is None else kind.expires_at_ms
    return (kind.keep_ms, expires, "1" if kind.is_sole else "", *kind[3:])


class Settled(NamedTuple):
    """What settle answered: one answer for each member, in order."""

    now_ms: int
    stream_length: int
    answers: list[Answer]


@reader
def read_settled(reply: Sequence[Any], items: int | None = None) -> Settled:
    """Read what settle answered; raise where it does not answer each of *items*."""
    return Settled(int(reply[0]), int(reply[1]), answers(reply[2:], items))
