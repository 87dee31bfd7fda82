"""Reads for operators: many commands in one round trip, on a synchronous connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from galaxy_notify.redis_state.faults import RedisFault
from galaxy_notify.redis_state.place import Place
from galaxy_notify.redis_state.runner import run_all_sync
from galaxy_notify.redis_state.scripts import Read

Command = Sequence[Any]
_FAR_MS: Final = 10**15
_COUNTED: Final = 1 << 63


def read_all(place: Place, commands: Iterable[Command]) -> list[Any]:
    """Return a reply for each command; raise `RedisFault` where one failed."""
    replies = try_all(place, commands)
    for reply in replies:
        if isinstance(reply, RedisFault):
            raise reply
    return replies


def try_all(place: Place, commands: Iterable[Command]) -> list[Any]:
    """Return a reply or a fault for each command; raise `RedisFault` where Redis is away."""
    reads = [Read(list(command)) for command in commands]
    return run_all_sync(place.client, reads) if reads else []


def server_now(place: Place) -> int:
    """Return the server's clock in epoch ms."""
    (time,) = read_all(place, [["TIME"]])
    return int(time[0]) * 1000 + int(time[1]) // 1000


def moment(score: float) -> int:
    """Return a score as epoch ms; one beyond every date, such as infinity, as a very far one."""
    return int(max(-_FAR_MS, min(score, _FAR_MS)))


def text(raw: bytes | str) -> str:
    """Return what Redis holds as text; what is none is marked."""
    return raw if isinstance(raw, str) else raw.decode("utf-8", "replace")


def number(raw: Any) -> int:
    """Return a stored number, or 0 where it is absent, none, or could not be read."""
    try:
        found = int(raw or 0)
    except (ValueError, TypeError):
        return 0
    # Redis counts in 64 bits: what has more was not counted.
    return found if -_COUNTED <= found < _COUNTED else 0
