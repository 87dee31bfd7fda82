"""The state of one route, and its form in Redis.

A stored state is a format byte, a status letter, the time of the last transition and the due time
(13 digits each, epoch ms), a body and, once published, the stream id. Redis decides times and
stream ids, so a script fills in those parts; it moves the body without reading it. The body is
empty while nothing has happened to a route and its intent sets no option.

A version that knows only format 1 must not end, repeat or bury a route of an external channel that
was delivered, or whose addresses are partly done. Such a state has format 2, which it leaves alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

import msgpack

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.route_body import Body, Transition, bounded, unpack_body

FORMAT: Final = b"1"
#: Of what an earlier version must not touch: delivered, or some addresses done.
FORMAT_OF_DELIVERIES: Final = b"2"
#: The formats of states that this version reads.
FORMATS: Final = frozenset({FORMAT, FORMAT_OF_DELIVERIES})
HISTORY_KEPT: Final = 20
RESCHEDULED: Final = "rescheduled"
MAX_STATE_BYTES: Final = 65_536
_DUE: Final = 15
_HEADER: Final = 28
_SHORT: Final = 64
_REMEMBERED: Final = 256
# For a truncated body msgpack raises no ValueError if the length is found by skipping.
_UNREADABLE: Final = (ValueError, TypeError, LookupError, RecursionError, msgpack.UnpackException)


class Status(StrEnum):
    """Where a route stands."""

    #: Waits for its due time. Moved on by a worker, a cancel or its expiry.
    PENDING = "pending"
    #: An attempt failed and a retry is scheduled. Moved on as a pending route is.
    FAILED = "failed"
    #: The event is in the gateway stream. Final.
    PUBLISHED = "published"
    #: An external channel has sent it. Final.
    DELIVERED = "delivered"
    #: Kept with its reason and history until an operator replays or purges it.
    DEAD_LETTER = "dead_letter"
    #: Cancelled before it was published or delivered. Final.
    CANCELLED = "cancelled"
    #: Not published or sent before its ``expires_at``. Final.
    EXPIRED = "expired"
    #: A rule suppressed it at accept, or there was a reason not to send it. Final.
    SKIPPED = "skipped"
    #: A dead letter that was purged. Final.
    PURGED = "purged"


_LETTER: Final = {
    Status.PENDING: b"p",
    Status.FAILED: b"f",
    Status.PUBLISHED: b"P",
    Status.DELIVERED: b"D",
    Status.DEAD_LETTER: b"d",
    Status.CANCELLED: b"c",
    Status.EXPIRED: b"e",
    Status.SKIPPED: b"s",
    Status.PURGED: b"x",
}
#: The letter of each status in a stored state.
STATUS_OF: Final = {letter: status for status, letter in _LETTER.items()}
PUBLISHABLE: Final = frozenset({Status.PENDING, Status.FAILED})
#: Statuses of a route that still needs its notification: all others are final.
NEEDING: Final = PUBLISHABLE | {Status.DEAD_LETTER}

#: Status → statuses that may follow it; ``None`` is a route that does not exist yet.
TRANSITIONS: Final[dict[Status | None, frozenset[Status]]] = {
    None: frozenset({Status.PENDING, Status.CANCELLED, Status.SKIPPED}),
    **dict.fromkeys(
        PUBLISHABLE,
        frozenset(
            {
                *(Status.PUBLISHED, Status.DELIVERED, Status.FAILED, Status.DEAD_LETTER),
                *(Status.CANCELLED, Status.EXPIRED, Status.SKIPPED),
            }
        ),
    ),
    Status.DEAD_LETTER: frozenset({Status.PENDING, Status.PURGED}),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed: its class and a bounded message."""

    failure_class: str
    message: str


class Route(NamedTuple):
    """The state of one route; ``max_attempts`` 0 is the default of the deployment.

    ``done`` are the addresses of an external channel that have it, by their ids: no attempt of any
    generation sends to them again.
    """

    status: Status
    due_at_ms: int
    at_ms: int
    generation: int = 1
    attempts: int = 0
    max_attempts: int = 0
    history: tuple[Transition, ...] = ()
    stream_id: str = ""
    done: tuple[str, ...] = ()

    @property
    def failure(self) -> Transition | None:
        """The last failure of a failed or dead-lettered route; None otherwise."""
        if self.status not in (Status.FAILED, Status.DEAD_LETTER):
            return None
        return next((line for line in reversed(self.history) if line.failure_class), None)

    def published(self, worker: str) -> bytes:
        """Return the state of a published route; settle appends the stream id."""
        line = Transition("published", worker=worker, attempt=self.attempts + 1)
        return self._next(Status.PUBLISHED, line)

    def delivered(self, worker: str, note: str = "") -> bytes:
        """Return the state of a route that was sent; *note* is bounded, and not an address."""
        line = Transition("delivered", worker=worker, attempt=self.attempts + 1)
        return self._next(Status.DELIVERED, replace(line, message=bounded(note)))

    def skipped(self, worker: str, reason: str) -> bytes:
        """Return the state of a route that was due, and was not sent for a reason."""
        return self._next(
            Status.SKIPPED, Transition("skipped", worker=worker, failure_class=reason)
        )

    def delivered_in_part(self, worker: str, done: Iterable[str]) -> bytes:
        """Return the state of a route that waits, without a failure, for the rest of its addresses.

        *done* are addresses that have it now.
        """
        line = Transition("delivered in part", worker=worker, attempt=self.attempts + 1)
        return self._with(done)._next(self.status, line)

    def failed(self, worker: str, failure: Failure, done: Iterable[str] = ()) -> bytes:
        """Return the state of a route whose attempt failed and is retried.

        *done* are addresses that have it now.
        """
        line = self._failure("retried", worker, failure)
        return self._with(done)._next(Status.FAILED, line, attempt=True)

    def dead_lettered(
        self, worker: str, failure: Failure, *, attempt: bool, done: Iterable[str] = ()
    ) -> bytes:
        """Return the state of the dead letter; *attempt* counts this attempt.

        *done* are addresses that have it now.
        """
        line = self._failure("dead-lettered", worker, failure)
        return self._with(done)._next(Status.DEAD_LETTER, line, attempt=attempt)

    def expired(self, worker: str) -> bytes:
        """Return the state of a route that has expired."""
        return self._next(Status.EXPIRED, Transition("expired", worker=worker))

    def cancelled(self, actor: str) -> bytes:
        """Return the state of a route that is cancelled."""
        return self._next(Status.CANCELLED, Transition("cancelled", worker=actor))

    def rescheduled(self, actor: str) -> bytes:
        """Return the state of a route that gets another due time."""
        return self._next(self.status, Transition(RESCHEDULED, worker=actor))

    def purged(self, actor: str) -> bytes:
        """Return the state of a dead letter that is purged."""
        return self._next(Status.PURGED, Transition("purged", worker=actor))

    def replayed(self, actor: str) -> bytes:
        """Return the state of a dead letter that is replayed, in its next generation."""
        again = self._replace(generation=self.generation + 1, attempts=0)
        return again._next(Status.PENDING, Transition("replayed", worker=actor))

    def _failure(self, event: str, worker: str, failure: Failure) -> Transition:
        return Transition(
            event,
            worker=worker,
            attempt=self.attempts + 1,
            failure_class=failure.failure_class,
            message=bounded(failure.message),
        )

    def _next(self, status: Status, line: Transition, *, attempt: bool = False) -> bytes:
        past = self.history
        if past and past[-1].at_ms == 0:
            past = (*past[:-1], replace(past[-1], at_ms=self.at_ms))
        done = self.done if status in NEEDING else ()
        is_external = bool(done) or status is Status.DELIVERED
        body = Body(
            self.generation,
            self.attempts + attempt,
            self.max_attempts,
            (*past, line)[-HISTORY_KEPT:],
            done if is_external else None,
        )
        form = FORMAT_OF_DELIVERIES if is_external else FORMAT
        return _state(status, self.due_at_ms, body.packed(), form)

    def _with(self, done: Iterable[str]) -> Route:
        return self._replace(done=tuple(sorted({*self.done, *done})))


def body_of(state: bytes) -> bytes:
    """Return the body of a stored state: the bytes after its two times."""
    return state[_HEADER:]


@lru_cache(maxsize=256)
def initial_state(
    max_attempts: int | None, due_at_ms: int | None = None, cancelled: bool = False
) -> bytes:
    """Return the state of a new route, pending or *cancelled*.

    The script fills in the times; a due time of None is now, and one below 10^12 a delay from now.
    """
    body = Body(max_attempts=max_attempts).packed() if max_attempts else b""
    return _state(Status.CANCELLED if cancelled else Status.PENDING, due_at_ms or 0, body)


@lru_cache(maxsize=256)
def skipped_state(reason: str, due_at_ms: int | None = None) -> bytes:
    """Return the state of a new route that a rule skips; see `initial_state`."""
    body = Body(history=(Transition("skipped", failure_class=reason),)).packed()
    return _state(Status.SKIPPED, due_at_ms or 0, body)


def _state(status: Status, due_at_ms: int, body: bytes, form: bytes = FORMAT) -> bytes:
    return b"%b%b%013d%013d%b" % (form, _LETTER[status], 0, due_at_ms, body)


def decode_route(raw: bytes) -> Route:
    """Return the route of a stored state; raise `Corrupt` if it is invalid."""
    try:
        return _decode_short(raw) if len(raw) <= _SHORT else _decode(raw)
    except _UNREADABLE as error:
        raise Corrupt(f"route state: {type(error).__name__}: {error}"[:200]) from error


def readable_route(state: bytes | None) -> Route | None:
    """Return the route of a state; None if it is absent or corrupt."""
    try:
        return decode_route(state or b"")
    except Corrupt:
        return None


def newer_state(raw: bytes) -> bool:
    """Return whether a later version than this one wrote a state."""
    return raw[:1].isdigit() and raw[:1] > FORMAT_OF_DELIVERIES


def _decode(raw: bytes) -> Route:
    if raw[:1] not in FORMATS or not _HEADER <= len(raw) <= MAX_STATE_BYTES:
        raise ValueError("unknown format or size")
    if not raw[2:_HEADER].isdigit():
        raise ValueError("a time is not a number")
    status = STATUS_OF[raw[1:2]]
    at, due = int(raw[2:_DUE]), int(raw[_DUE:_HEADER])
    body, stream_id = raw[_HEADER:], ""
    if status is Status.PUBLISHED:
        unpacker = msgpack.Unpacker(max_buffer_size=MAX_STATE_BYTES)
        unpacker.feed(body)
        unpacker.skip()
        end = unpacker.tell()
        body, stream_id = body[:end], body[end:].decode("ascii")
    # A long body is a history, hardly ever repeated, and a forged one may have any length.
    unpack = unpack_body if len(body) <= _REMEMBERED else unpack_body.__wrapped__
    generation, attempts, max_attempts, history, done = unpack(body)
    is_external = raw[:1] == FORMAT_OF_DELIVERIES
    if is_external is (done is None) or (status is Status.DELIVERED and not is_external):
        raise ValueError("not a body, or a status, of this format")
    if history:
        history = (*history[:-1], replace(history[-1], at_ms=at, stream_id=stream_id))
    return Route(
        status, due, at, generation, attempts, max_attempts, history, stream_id, done or ()
    )


# Routes accepted in the same millisecond, such as those of one notification, mostly have the same
# state.
_decode_short: Final = lru_cache(maxsize=1024)(_decode)
