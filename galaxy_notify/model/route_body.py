"""The body of a stored state: what has happened to a route, packed.

A script moves it without reading it. It is msgpack: ``[generation, attempts, max_attempts,
history]`` in a state of format 1, and ``[…, done]`` in one of format 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgpack

MESSAGE_KEPT: Final = 512
# More lines than this version keeps, as another version may keep more; the same for addresses.
_MOST_ITEMS: Final = 1000


def bounded(message: str) -> str:
    """Return *message* stripped, printable and at most `MESSAGE_KEPT` characters long."""
    text = "".join(c if c.isprintable() else " " for c in message[: MESSAGE_KEPT * 2].strip())
    return text.encode("utf-8", "replace").decode()[:MESSAGE_KEPT].strip()


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of the history of a route; ``at_ms`` 0 is the time in the header of the state."""

    event: str
    at_ms: int = 0
    worker: str = ""
    attempt: int = 0
    failure_class: str = ""
    message: str = ""
    stream_id: str = ""


class Body(NamedTuple):
    """A body, unpacked; ``done`` is None in format 1."""

    generation: int = 1
    attempts: int = 0
    max_attempts: int = 0
    history: tuple[Transition, ...] = ()
    done: tuple[str, ...] | None = None

    def packed(self) -> bytes:
        """Return the bytes of it."""
        values: list[Any] = [*self[:3], [_fields(line) for line in self.history]]
        if self.done is not None:
            values.append(self.done)
        packed: bytes = msgpack.packb(values)
        return packed


_EMPTY: Final = Body()


def published_line(worker: str) -> bytes:
    """Return the last line of the history of a route published at its first attempt, packed."""
    packed: bytes = msgpack.packb(_fields(Transition("published", worker=worker, attempt=1)))
    return packed


@lru_cache(maxsize=2048)
def unpack_body(raw: bytes) -> Body:
    """Read a body; raise an error of Python or msgpack if it is invalid."""
    if not raw:
        return _EMPTY
    values = msgpack.unpackb(raw, max_array_len=_MOST_ITEMS, max_map_len=0, max_ext_len=0)
    generation, attempts, max_attempts, history, *rest = values
    counts: list[Any] = [generation, attempts, max_attempts]
    if not all(type(count) is int and 0 <= count < 2**31 for count in counts):
        raise ValueError("a count is invalid")
    lines = tuple(_line(*line) for line in history)
    return Body(generation, attempts, max_attempts, lines, _done(*rest) if rest else None)


def _done(addresses: Any) -> tuple[str, ...]:
    if type(addresses) is not list or not all(type(one) is str for one in addresses):
        raise ValueError("the addresses that are done are invalid")
    return tuple(addresses)


def _fields(line: Transition) -> list[str | int]:
    return [line.event, line.at_ms, line.worker, line.attempt, line.failure_class, line.message]


def _line(*values: Any) -> Transition:
    event, at_ms, worker, attempt, failure_class, message = values
    texts = (event, worker, failure_class, message)
    if not all(type(text) is str for text in texts) or type(at_ms + attempt) is not int:
        raise ValueError("a history entry is invalid")
    return Transition(event, at_ms, worker, attempt, failure_class, message)
