"""Notifications that are looked at to estimate what all of them take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.replies import number
from galaxy_notify.redis_state.deployment import Words

T = TypeVar("T")
#: Sends commands in one round trip, and returns a reply or a fault for each.
Ask = Callable[[Iterable[Words]], Sequence[Any]]

#: What MEMORY USAGE leaves out of a key: its place in the table of all keys, and what the allocator
#: rounds up. Measured: 41 to 78 bytes on Redis 6.2 and 7.0.
_BESIDE: Final = 50
#: And of a key with a time to live: its entry in the table of those.
_TTL: Final = 24
#: A compact hash: its key and object, its content and what the allocator rounds up, and for each
#: route the id, the state and their frames; a published one has the id of its event as well. Within
#: a tenth of what Redis 7.0 takes, and rather more than less: nothing is advised where it is done.
_COMPACT: Final = 150
_COMPACT_SHARE: Final = 1.1
_ROUTE: Final = 48
_ENDED_ROUTE: Final = 72
#: The fields of a notification that are not routes: `record` and `open`.
_OWN_FIELDS: Final = 2
_READS: Final = 5


class Sample(NamedTuple):
    """A notification: its size and that of its record in bytes, and its routes.

    *ttl_ms* is negative while a route still needs it; *open* is how many do.
    """

    size: int
    ttl_ms: int
    open: int
    routes: int
    record: int

    @property
    def is_kept(self) -> bool:
        """Return whether only its retention keeps it."""
        return self.ttl_ms >= 0

    @property
    def compact(self) -> float:
        """Return about what it would take as a compact hash."""
        routes = self.routes * (_ENDED_ROUTE if self.is_kept else _ROUTE)
        beside = _BESIDE + _TTL * self.is_kept
        return beside + _COMPACT + _COMPACT_SHARE * (self.record + routes)


def usage(key: str, elements: int = 5) -> list[Any]:
    """Ask what a key takes, by so many of its elements; 0 means all of them."""
    return ["MEMORY", "USAGE", key, "SAMPLES", elements]


def read_samples(ask: Ask, names: Iterable[str]) -> list[Sample | None]:
    """Look at notifications by their keys; None for each that is gone or unreadable."""
    keys = list(names)
    # All fields of a part, of which there are at most some hundred: the record is larger than the
    # rest, and a few of them would say too much or too little.
    replies = ask(
        command
        for key in keys
        for command in (
            usage(key, 0),
            ["PTTL", key],
            ["HGET", key, "open"],
            ["HLEN", key],
            ["HSTRLEN", key, "record"],
        )
    )
    return [_sample(replies[at : at + _READS]) for at in range(0, _READS * len(keys), _READS)]


def _sample(replies: Sequence[Any]) -> Sample | None:
    if any(isinstance(reply, RedisFault) for reply in replies) or replies[0] is None:
        return None
    size, ttl_ms, still_open, fields, record = map(number, replies)
    beside = _BESIDE + _TTL * (ttl_ms >= 0)
    return Sample(size + beside, ttl_ms, still_open, max(1, fields - _OWN_FIELDS), record)


def spread(every: Sequence[T], most: int) -> list[T]:
    """Return at most so many, evenly spaced."""
    chosen = min(len(every), most)
    return [every[(2 * at + 1) * len(every) // (2 * chosen)] for at in range(chosen)]


def is_denied(reply: Any) -> bool:
    """Return whether this user may not ask."""
    return isinstance(reply, RedisFault) and reply.fault.code == "NOPERM"
