"""Changes of the waiting routes of a notification: cancel and reschedule, as flows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

from galaxy_notify.errors import InvalidIntent, Unavailable
from galaxy_notify.intake.receipts import Cancelled, Rescheduled
from galaxy_notify.model.ids import Target, first_part
from galaxy_notify.model.intent import check_due
from galaxy_notify.model.notification import Notification, readable_record
from galaxy_notify.model.route import (
    PUBLISHABLE,
    RESCHEDULED,
    Route,
    Status,
    readable_route,
)
from galaxy_notify.model.route_body import bounded
from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import RouteChange
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word

T = TypeVar("T")
_ATTEMPTS: Final = 3


def cancel_flow(key_space: KeySpace, target: Target, actor: str) -> Flow[Cancelled]:
    """Cancel a notification, or one route of it; the id of a part cancels that part alone.

    The first part is marked first, so that parts that are accepted later are stored as cancelled.
    Raises `Unavailable` and `RedisFault`.
    """
    stored = _TargetRecord(target, (yield from _fields(key_space, target.notification_id)))
    if not stored.exists:
        return Cancelled(0, 0, unknown=True)
    change = _Cancel(key_space, stored, bounded(actor))
    yield from change.run()
    return Cancelled(change.done, change.too_late, unknown=not change.has_routes)


def reschedule_flow(
    key_space: KeySpace, target: Target, due_ms: int, now_ms: int, actor: str
) -> Flow[Rescheduled]:
    """Change the due time of a notification, or of one route; a past time means now.

    The id of a part moves that part alone. Times are epoch ms. Raises `InvalidIntent`,
    `Unavailable` and `RedisFault`.
    """
    check_due(due_ms, now_ms=now_ms, past_due_ms=key_space.shared.past_due_ms)
    stored = _TargetRecord(target, (yield from _fields(key_space, target.notification_id)))
    if not stored.exists:
        return Rescheduled(0, 0, unknown=True)
    change = _Reschedule(key_space, stored, bounded(actor), due_ms=due_ms)
    yield from change.run()
    return Rescheduled(change.done, change.too_late, unknown=not change.has_routes)


class _TargetRecord:
    """The stored notification or part that a change names.

    *record* is None if it is corrupt.
    """

    def __init__(self, target: Target, fields: Mapping[bytes, bytes]) -> None:
        self.name = target.notification_id
        self.route_id = target.route_id
        self.record: Notification | None = readable_record(self.name, fields.get(b"record"))
        own = target.is_of(self.record.producer if self.record else None)
        self.exists = own and b"open" in fields

        is_first = first_part(self.name) == self.name
        #: Whether the target is a whole notification, not a part or a route.
        self.is_all = self.route_id is None and is_first
        #: How many parts to change; 1 if the target is a part.
        self.parts = self.record.parts if self.record and is_first else 1


@dataclass
class _Change(ABC):
    """One change of every waiting route; it counts the outcomes."""

    key_space: KeySpace
    stored: _TargetRecord
    actor: str
    done: int = 0
    too_late: int = 0
    has_routes: bool = False

    #: The verb for error messages, and the script's word for a changed route.
    verb: ClassVar[str]
    word: ClassVar[str]

    @abstractmethod
    def call(self, part: str, changes: Sequence[RouteChange]) -> ScriptCall:
        """Return the call that makes the changes."""

    @abstractmethod
    def changed_state(self, route: Route) -> bytes:
        """Return the new state of a waiting route."""

    @abstractmethod
    def is_done(self, route_id: str, route: Route) -> bool:
        """Return whether the route was already changed in this way."""

    @property
    def must_call(self) -> bool:
        """Whether a call is made even without a route to change."""
        # An earlier change may not be durable yet: a call without changes waits for it.
        return self.done > 0

    def run(self) -> Flow[None]:
        """Change all parts, the first part first; raise `CallFailed` or `RedisFault`."""
        try:
            yield from self._change_part(self.stored.name)
            for group in self.key_space.later_parts(self.stored.name, self.stored.parts):
                counts = yield [Command(command) for command in group.counting()]
                if any(_unwrapped(count, int) for count in counts):
                    for part in group.names:
                        yield from self._change_part(part)
        except RedisFault as fault:
            # Some routes may be changed already, so the outcome of the whole is unknown.
            raise fault.with_unknown_outcome() if self.done else fault from fault.__cause__

    def _change_part(self, part: str) -> Flow[None]:
        """Change the waiting routes; read again those that moved, up to three times."""
        counted: set[str] = set()
        for _ in range(_ATTEMPTS):
            fields = yield from _fields(self.key_space, part)
            changes = list(self._changes(fields, counted))
            if not changes and not self.must_call:
                return
            (reply,) = yield [self.call(part, changes)]
            # Without changes, the answer still reports whether earlier ones are durable.
            words = _unwrapped(reply, partial(_words_for, changes))
            pairs = zip(changes, words, strict=True)
            done = {change.route_id for change, word in pairs if word == self.word}
            self.done += len(done)
            counted |= done
            if Word.FAULT in words:
                raise Unavailable(f"Redis could not write the {self.verb}", part)
            if Word.CHANGED not in words:
                return
        raise Unavailable(f"the notification kept changing: repeat the {self.verb}", part)

    def _changes(self, fields: dict[bytes, bytes], counted: set[str]) -> Iterator[RouteChange]:
        for route_id, state in self._routes(fields):
            self.has_routes = True
            route = readable_route(state)
            if route_id in counted:
                continue
            if route is not None and self.is_done(route_id, route):
                self.done += 1
            elif route is not None and route.status in PUBLISHABLE:
                yield RouteChange(route_id, state, self.changed_state(route))
                continue
            else:
                self.too_late += 1
            counted.add(route_id)

    def _routes(self, fields: dict[bytes, bytes]) -> Iterator[tuple[str, bytes]]:
        for name, state in fields.items():
            route_id = name.decode("utf-8", "replace")
            # A field that is not UTF-8 is not a route id.
            is_route_id = b":" in name and route_id.encode() == name
            if is_route_id and self.stored.route_id in (None, route_id):
                yield route_id, state


@dataclass
class _Cancel(_Change):
    verb = "cancel"
    word = Word.CANCELLED

    @property
    def must_call(self) -> bool:
        return self.stored.is_all or super().must_call

    def call(self, part: str, changes: Sequence[RouteChange]) -> ScriptCall:
        keys, record = self.key_space.keys_for(part), self.stored.record
        keyed, kind = bool(record and record.idempotency_key), record.type if record else ""
        keep_ms = self.key_space.shared.keep_ms(keyed=keyed, kind=kind)
        return calls.route_cancel(keys, part, changes, keep_ms=keep_ms, mark=self.stored.is_all)

    def changed_state(self, route: Route) -> bytes:
        return route.cancelled(self.actor)

    def is_done(self, route_id: str, route: Route) -> bool:
        return route.status is Status.CANCELLED


@dataclass
class _Reschedule(_Change):
    verb = "reschedule"
    word = Word.MOVED
    due_ms: int = 0

    def call(self, part: str, changes: Sequence[RouteChange]) -> ScriptCall:
        keys = self.key_space.keys_for(part)
        due_ms, mark = self.due_ms, self.stored.is_all
        delayed = [(change, self._delay_of(change.route_id)) for change in changes]
        return calls.route_reschedule(keys, part, delayed, due_ms=due_ms, mark=mark)

    def changed_state(self, route: Route) -> bytes:
        record = self.stored.record
        # A replayed route does not expire.
        expires_ms = record.expires_at_ms if record and route.generation == 1 else None
        if expires_ms is not None and self.due_ms >= expires_ms:
            raise InvalidIntent("due_at", f"must be earlier than expires_at, which is {expires_ms}")
        return route.rescheduled(self.actor)

    def is_done(self, route_id: str, route: Route) -> bool:
        """Return whether an earlier attempt, whose reply may be lost, made this change."""
        last = route.history[-1].event if route.history else ""
        requested_ms = max(self.due_ms, route.at_ms) + self._delay_of(route_id)
        waits = route.status in PUBLISHABLE
        return waits and last == RESCHEDULED and route.due_at_ms == requested_ms

    def _delay_of(self, route_id: str) -> int:
        return self.key_space.shared.delay_of(route_id.partition(":")[0])


def _fields(key_space: KeySpace, notification_id: str) -> Flow[dict[bytes, bytes]]:
    key = key_space.keys_for(notification_id).notification(notification_id)
    (reply,) = yield [Command(["HGETALL", key])]
    return _unwrapped(reply, _fields_of)


@reader
def _fields_of(reply: Any) -> dict[bytes, bytes]:
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    if not {*map(type, fields), *map(type, fields.values())} <= {bytes}:
        raise TypeError("a hash must contain text only")
    return fields


@reader
def _words_for(changes: Sequence[RouteChange], reply: Any) -> Sequence[str]:
    """Return the last words of a reply, one for each change; raise if there are too few."""
    words = calls.words(reply)
    if len(words) < len(changes):
        raise ValueError(f"{len(words)} answers to {len(changes)} changes")
    return words[len(words) - len(changes) :]


def _unwrapped(reply: Any, read: Callable[[Any], T]) -> T:
    """Return the value of a reply; raise `RedisFault` if it is an error or invalid."""
    with as_fault("Redis"):
        return read(unwrap(reply))
