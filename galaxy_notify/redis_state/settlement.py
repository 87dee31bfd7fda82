"""The outcomes of claimed members, as arguments and reply of settle: ending a lease.

lua/README.md explains leases, their tokens and their scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from operator import itemgetter
from typing import Any, Final, NamedTuple

from galaxy_notify.redis_client.replies import reader, text
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state.calls import Answer, time_argument
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.words import Word

#: The longest delay with which a worker releases a route, in ms: a minute for a newer format; more
#: where a host of an external channel rests. A score beyond that is a fault that fsck repairs.
LONGEST_RELEASE_MS: Final = 900_000


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


_PUBLISHED: Final = Word.PUBLISHED.value
_usual_answer: Final[Callable[[tuple[str, str]], Answer]] = partial(tuple.__new__, Answer)


class Settled(NamedTuple):
    """What settle answered: one answer for each member, in order."""

    now_ms: int
    stream_length: int
    answers: list[Answer]

    @property
    def words(self) -> Counter[str]:
        """How often each word was answered."""
        return Counter(map(itemgetter(0), self.answers))


@reader
def read_settled(reply: Sequence[Any], items: int | None = None) -> Settled:
    """Read what settle answered; raise where it does not answer each of *items*."""
    values, found = iter(reply[2:]), list[Answer]()
    for raw, detail in zip(values, values, strict=True):
        if (word := raw.decode()) == _PUBLISHED:
            stream_ids = [stream_id.decode() for stream_id in detail]
            found += map(_usual_answer, zip(repeat(word), stream_ids, strict=False))
        else:
            found.append(Answer(word, text(detail)))
    if items is not None and len(found) != items:
        raise ValueError(f"{len(found)} answers to {items} items")
    return Settled(int(reply[0]), int(reply[1]), found)
