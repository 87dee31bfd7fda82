"""Changes of what still waits of a notification: cancel and reschedule, part by part, as flows."""

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
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import PUBLISHABLE, RESCHEDULED, Route, Status, bounded
from galaxy_notify.model.stored import readable_record, readable_route
from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import RouteChange
from galaxy_notify.redis_state.shared_settings import KeySpace

T = TypeVar("T")
_TRIES: Final = 3


def cancel_flow(key_space: KeySpace, target: Target, actor: str) -> Flow[Cancelled]:
    """Take a notification back, or one route of it; naming a part takes back that part alone.

    The first part is marked first, so that parts which arrive later are born cancelled. Raises
    `Unavailable`.
    """
    found = yield from _look(key_space, target)
    if not found.exists:
        return Cancelled(0, 0, unknown=True)
    job = _Cancel(key_space, found, bounded(actor))
    yield from job.run()
    return Cancelled(job.done, job.too_late, unknown=not job.met)


def reschedule_flow(
    key_space: KeySpace, target: Target, due_ms: int, now_ms: int, actor: str
) -> Flow[Rescheduled]:
    """Have a notification, or one route of it, due at another time; in the past means now.

    Naming a part moves that part alone. Raises `InvalidIntent` and `Unavailable`.
    """
    check_due(due_ms, now_ms=now_ms, past_due_ms=key_space.shared.past_due_ms)
    found = yield from _look(key_space, target)
    if not found.exists:
        return Rescheduled(0, 0, unknown=True)
    job = _Reschedule(key_space, found, bounded(actor), due_ms=due_ms)
    yield from job.run()
    return Rescheduled(job.done, job.too_late, unknown=not job.met)


class _Found:
    """What a change goes by: the notification, or the part, that was named.

    *record* is None where it cannot be read.
    """

    def __init__(self, target: Target, fields: Mapping[bytes, bytes]) -> None:
        self.name = target.notification_id
        self.route_id = target.route_id
        self.record: Notification | None = readable_record(self.name, fields)
        own = target.is_of(self.record.producer if self.record else None)
        self.exists = own and b"open" in fields

    @property
    def is_all(self) -> bool:
        """Tell whether all of a notification was named, and not a part or a route."""
        return self.route_id is None and first_part(self.name) == self.name

    @property
    def parts(self) -> int:
        """Return how many parts there may be; naming one means that part alone."""
        is_first = first_part(self.name) == self.name
        return self.record.parts if self.record and is_first else 1


def _look(key_space: KeySpace, target: Target) -> Flow[_Found]:
    """Read what was named; raise `RedisFault`."""
    return _Found(target, (yield from _fields(key_space, target.notification_id)))


@dataclass
class _Change(ABC):
    """One change of every route that waits; it counts what became of them."""

    key_space: KeySpace
    found: _Found
    actor: str
    done: int = 0
    too_late: int = 0
    met: bool = False

    #: What is done, and the word of the script for it.
    verb: ClassVar[str]
    word: ClassVar[str]

    @abstractmethod
    def call(self, part: str, changes: Sequence[RouteChange]) -> ScriptCall:
        """Return the call that makes the changes."""

    @abstractmethod
    def after(self, route: Route) -> bytes:
        """Return the state of a route that waits once it is changed."""

    @abstractmethod
    def is_done(self, route: Route) -> bool:
        """Tell whether a route was changed so before."""

    @property
    def insists(self) -> bool:
        """Tell whether a call is made even for no route."""
        # What was changed before may not be safe yet: a call without changes waits for it.
        return self.done > 0

    def run(self) -> Flow[None]:
        """Change all that was named, the first part first; raise `CallFailed` or `RedisFault`."""
        try:
            yield from self._run()
        except RedisFault as fault:
            # Of the whole something may be changed by now, whatever the server says of the rest.
            raise fault.with_unknown_outcome() if self.done else fault from fault.__cause__

    def _run(self) -> Flow[None]:
        yield from self._part(self.found.name)
        for later in self.key_space.later_parts(self.found.name, self.found.parts):
            counts = yield [Command(command) for command in later.counting()]
            if any(_read(count, int) for count in counts):
                for part in later.names:
                    yield from self._part(part)

    def _part(self, part: str) -> Flow[None]:
        """Change what can be changed; read again what moved meanwhile, three times at most."""
        counted: set[str] = set()
        for _ in range(_TRIES):
            fields = yield from _fields(self.key_space, part)
            changes = list(self._changes(fields, counted))
            if not changes and not self.insists:
                return
            (reply,) = yield [self.call(part, changes)]
            # Without changes too, the answer says whether what was changed before is safe.
            words = _read(reply, partial(_words_for, changes))
            counted |= self._count(changes, words)
            if "fault" in words:
                raise Unavailable(f"Redis could not write the {self.verb}", part)
            if "changed" not in words:
                return
        raise Unavailable(f"the notification kept changing: {self.verb} it again", part)

    def _count(self, changes: Sequence[RouteChange], words: Sequence[str]) -> set[str]:
        pairs = zip(changes, words, strict=True)
        done = {change.route_id for change, word in pairs if word == self.word}
        self.done += len(done)
        return done

    def _changes(self, fields: dict[bytes, bytes], counted: set[str]) -> Iterator[RouteChange]:
        for route_id, state in self._routes(fields):
            self.met = True
            route = readable_route(state)
            if route_id in counted:
                continue
            if route is not None and self.is_done(route):
                self.done += 1
            elif route is not None and route.status in PUBLISHABLE:
                yield RouteChange(route_id, state, self.after(route))
                continue
            else:
                self.too_late += 1
            counted.add(route_id)

    def _routes(self, fields: dict[bytes, bytes]) -> Iterator[tuple[str, bytes]]:
        for name, state in fields.items():
            route_id = name.decode("utf-8", "replace")
            # What is no text was not written by us, and cannot be named.
            ours = b":" in name and route_id.encode() == name
            if ours and self.found.route_id in (None, route_id):
                yield route_id, state


@dataclass
class _Cancel(_Change):
    verb = "cancel"
    word = "cancelled"

    @property
    def insists(self) -> bool:
        return self.found.is_all or super().insists

    def call(self, part: str, changes: Sequence[RouteChange]) -> ScriptCall:
        keys, record = self.key_space.keys_for(part), self.found.record
        keyed, kind = bool(record and record.idempotency_key), record.type if record else ""
        keep_ms = self.key_space.shared.keep_ms(keyed=keyed, kind=kind)
        return calls.route_cancel(keys, part, changes, keep_ms=keep_ms, mark=self.found.is_all)

    def after(self, route: Route) -> bytes:
        return route.cancelled(self.actor)

    def is_done(self, route: Route) -> bool:
        return route.status is Status.CANCELLED


@dataclass
class _Reschedule(_Change):
    verb = "reschedule"
    word = "moved"
    due_ms: int = 0

    def call(self, part: str, changes: Sequence[RouteChange]) -> ScriptCall:
        keys = self.key_space.keys_for(part)
        due_ms, mark = self.due_ms, self.found.is_all
        return calls.route_reschedule(keys, part, changes, due_ms=due_ms, mark=mark)

    def after(self, route: Route) -> bytes:
        record = self.found.record
        # A route that was replayed does not expire any more.
        expires_ms = record.expires_at_ms if record and route.generation == 1 else None
        if expires_ms is not None and self.due_ms >= expires_ms:
            raise InvalidIntent("due_at", f"must be earlier than expires_at, which is {expires_ms}")
        return route.rescheduled(self.actor)

    def is_done(self, route: Route) -> bool:
        """Tell whether this is what an earlier sending made, whose answer was lost perhaps."""
        last = route.history[-1].event if route.history else ""
        asked_ms = max(self.due_ms, route.at_ms)
        waits = route.status in PUBLISHABLE
        return waits and last == RESCHEDULED and route.due_at_ms == asked_ms


def _fields(key_space: KeySpace, notification_id: str) -> Flow[dict[bytes, bytes]]:
    key = key_space.keys_for(notification_id).notification(notification_id)
    (reply,) = yield [Command(["HGETALL", key])]
    return _read(reply, _fields_of)


@reader
def _fields_of(reply: Any) -> dict[bytes, bytes]:
    found = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    if not {*map(type, found), *map(type, found.values())} <= {bytes}:
        raise TypeError("a hash holds texts only")
    return found


@reader
def _words_for(changes: Sequence[RouteChange], reply: Any) -> Sequence[str]:
    """Return the last words of a reply, one for each change; raise where there are too few."""
    words = calls.words(reply)
    if len(words) < len(changes):
        raise ValueError(f"{len(words)} answers to {len(changes)} changes")
    return words[len(words) - len(changes) :]


def _read(reply: Any, read: Callable[[Any], T]) -> T:
    """Read a reply; raise `RedisFault` where Redis could not serve, or it cannot be read."""
    with as_fault("Redis"):
        return read(unwrap(reply))
