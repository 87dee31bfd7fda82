"""One dead letter, as operators see it, and which of them an operator means."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from galaxy_notify.encoding import payload
from galaxy_notify.errors import Corrupt, InvalidQuery
from galaxy_notify.model.failure_classes import FAILURE_CLASSES
from galaxy_notify.model.json_data import printable
from galaxy_notify.model.route import Route
from galaxy_notify.model.route_body import Transition
from galaxy_notify.redis_state.dead_rows import DeadRow

RECORD_MISSING: Final = "record_missing"
RECORD_CORRUPT: Final = "record_corrupt"


@dataclass(frozen=True)
class DeadLetterView:
    """A dead letter with what can still be read of it; what cannot is empty."""

    row: DeadRow

    @property
    def id(self) -> str:
        """Return ``<notification_id>/<route_id>``."""
        return self.row.entry.member.decode("utf-8", "backslashreplace")

    @property
    def channel(self) -> str:
        return self.row.entry.channel

    @property
    def recipient(self) -> str:
        return self.row.entry.name.recipient if self.row.entry.name else ""

    @property
    def type(self) -> str:
        return self.row.notification.type if self.row.notification else ""

    @property
    def producer(self) -> str:
        return self.row.notification.producer if self.row.notification else ""

    @property
    def dead_at_ms(self) -> int:
        return self.row.entry.dead_at_ms

    @property
    def generation(self) -> int:
        """Return the generation that died, 0 where its state is gone."""
        return self.row.route.generation if self.row.route else 0

    @property
    def attempts(self) -> int:
        """Return how many attempts were made in this generation, as its history counts them."""
        return attempts_made(self.row.route)

    @cached_property
    def failure(self) -> Transition:
        """Return why it died; damage found only now outweighs what killed it."""
        failure = self.row.route.failure if self.row.route else None
        return _damage(self.row) or failure or Transition("")

    @property
    def failure_class(self) -> str:
        return self.failure.failure_class

    def as_json(self) -> dict[str, object]:
        """Return what ``dead ls --json`` prints."""
        return {
            "id": self.id,
            "channel": self.channel,
            "recipient": self.recipient,
            "type": self.type,
            "producer": self.producer,
            "class": self.failure_class,
            "message": self.failure.message,
            "attempts": self.attempts,
            "generation": self.generation,
            "dead_at_ms": self.dead_at_ms,
            "worker": self.failure.worker,
        }

    def explained(self) -> dict[str, Any]:
        """Return what ``dead show --json`` prints: the same with its history."""
        found, route = self.row.notification, self.row.route
        return self.as_json() | {
            "created_at_ms": found.created_at_ms if found else None,
            "expires_at_ms": found.expires_at_ms if found else None,
            "request_id": found.request_id if found else "",
            "trace_id": found.trace_id if found else "",
            "history": [history_line(line) for line in route.history] if route else [],
        }

    def exported(self) -> dict[str, object]:
        """Return everything: also the payload, or its raw bytes where it cannot be read."""
        return self.explained() | _payload(self.row)


def attempts_made(route: Route | None) -> int:
    """Return how many attempts the history of this generation shows, the last one included.

    The state counts only attempts that another one follows; a person counts the first one as 1,
    also where it was published or dead-lettered at once.
    """
    if route is None:
        return 0
    for line in reversed(route.history):
        if line.event == "replayed":
            break
        if line.attempt:
            return max(line.attempt, route.attempts)
    return route.attempts


def history_line(line: Transition) -> dict[str, object]:
    """Return a line of the history as JSON shows it."""
    return {
        "at_ms": line.at_ms,
        "event": line.event,
        "worker": line.worker,
        "attempt": line.attempt,
        "class": line.failure_class,
        "message": line.message,
        "stream_id": line.stream_id,
    }


def _damage(row: DeadRow) -> Transition | None:
    failure_class = RECORD_CORRUPT
    if row.entry.name is None:
        message = "not a route of this channel"
    elif row.state is None or row.record is None:
        failure_class, message = RECORD_MISSING, "its record is missing"
    elif row.route is None:
        message = "its state cannot be read"
    elif row.misplaced:
        message = f"its state is {row.route.status}"
    elif row.notification is None:
        message = "its record cannot be read"
    else:
        return None
    return Transition("dead-lettered", failure_class=failure_class, message=message)


def _payload(row: DeadRow) -> dict[str, object]:
    damage: dict[str, object] = {}
    if row.notification is not None:
        try:
            return {"payload": payload(row.notification)}
        except Corrupt as error:
            damage = {"error": str(error)}
    raw = None if row.record is None else base64.b64encode(row.record).decode()
    return {"payload": None, "raw_base64": raw, **damage}


@dataclass(frozen=True)
class DeadFilter:
    """What a dead letter must be; empty means anything. Times are included.

    Raises `InvalidQuery` for a class that no dead letter may have.
    """

    channels: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    producers: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        for name in self.classes:
            if name not in FAILURE_CLASSES:
                known = ", ".join(FAILURE_CLASSES)
                raise InvalidQuery("class", f'unknown class "{printable(name)}" (known: {known})')

    def matches(self, letter: DeadLetterView) -> bool:
        """Return whether its type, producer and class are meant."""
        return (
            (not self.types or letter.type in self.types)
            and (not self.producers or letter.producer in self.producers)
            and (not self.classes or letter.failure_class in self.classes)
        )
