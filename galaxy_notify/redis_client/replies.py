"""Replies of Redis: of the right kind, and as text, numbers, moments and maps.

A link, or something in between, can change what a server said (row 22 of the fault matrix). What no
longer is a reply is found by the parser (`wire`). A reply of another kind is found here, once: by
`check_kinds` for commands, by `reader` for scripts. Later readers need not check it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import wraps
from types import NoneType
from typing import Any, Final, ParamSpec, TypeVar

from galaxy_notify.redis_client.faults import GARBLED, Garbled

P = ParamSpec("P")
T = TypeVar("T")

#: What commands answer with in RESP3; "_" stands for all that redis-py sends around EXEC.
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    command: kinds
    for commands, kinds in (
        ("DEL EXISTS HDEL HEXISTS HLEN HSET HSETNX HSTRLEN LLEN PEXPIRE PTTL RPUSH", (int,)),
        ("SISMEMBER UNLINK WAIT XACK XDEL XLEN ZCARD ZCOUNT ZREM ZREMRANGEBYSCORE", (int,)),
        ("HKEYS HMGET SCAN TIME WAITAOF XCLAIM XPENDING XRANGE XREVRANGE", (list,)),
        ("ZMSCORE ZRANGE ZRANGEBYSCORE ZREVRANGE", (list,)),
        ("GET HGET SET", (bytes, NoneType)),
        ("HGETALL", (dict,)),
        ("XREAD XREADGROUP", (dict, NoneType)),
        ("BLPOP", (list, NoneType)),
        ("XINFO", (list, dict)),
        ("_", (bytes, list, NoneType)),
    )
    for command in commands.split()
}

_FAR_MS: Final = 10**15
_COUNTED: Final = 1 << 63


#: Commands whose reply is left as it came: redis-py reads entries one by one, in Python.
_RAW: Final = frozenset({"XREADGROUP"})


def check_kinds(callbacks: MutableMapping[Any, Callable[..., Any]]) -> None:
    """Have a client, whose callbacks these are, raise `Garbled` for a reply of another kind."""
    for command, kinds in _KINDS.items():
        callback = None if command in _RAW else callbacks.get(command)
        callbacks[command] = _checked(command, kinds, callback)


def _checked(
    command: str, kinds: tuple[type, ...], callback: Callable[..., Any] | None
) -> Callable[..., Any]:
    @reader
    def made(reply: Any, **options: Any) -> Any:
        if type(reply) not in kinds:
            raise TypeError(command)
        # The rest of another reply may be of the right kind, and nothing that redis-py can read.
        return callback(reply, **options) if callback else reply

    return made


def reader(read: Callable[P, T]) -> Callable[P, T]:
    """Have a pure function of a reply raise `Garbled` where it cannot read it."""

    @wraps(read)
    def checked(*args: P.args, **options: P.kwargs) -> T:
        try:
            return read(*args, **options)
        except GARBLED as error:
            raise Garbled(type(error).__name__) from error

    return checked


@reader
def field_values(reply: Any, count: int) -> Sequence[bytes | None]:
    """Return the values of *count* fields of a hash, None for each that is absent."""
    if len(reply) != count or not {*map(type, reply)} <= {bytes, NoneType}:
        raise ValueError(f"no answer of {count} fields")
    values: Sequence[bytes | None] = reply
    return values


def moment(score: float) -> int:
    """Return a score as epoch ms; one beyond every date, such as infinity, as a very far one."""
    return int(max(-_FAR_MS, min(score, _FAR_MS)))


def text(raw: Any) -> str:
    """Return what Redis holds as text; bytes that are not UTF-8 are marked."""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def number(raw: Any) -> int:
    """Return a stored number, or 0 where it is absent, none, or could not be read."""
    try:
        found = int(raw or 0)
    except (ValueError, TypeError):
        return 0
    # Redis counts in 64 bits: what has more was not counted.
    return found if -_COUNTED <= found < _COUNTED else 0


def pairs(reply: Any) -> dict[bytes, bytes]:
    """Return a map, however the server and the client hand it over."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))
