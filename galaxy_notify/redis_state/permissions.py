"""Which of the commands that we need the user may run, asked without changing anything.

Redis checks permissions before it looks at a command, so each one is sent in a form that does
nothing: on the key that nobody creates, or one argument short. What a user may run directly, a
script may run for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from galaxy_notify.redis_state.faults import REDIS_ERRORS
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.nodes import at_shard
from galaxy_notify.redis_state.place import Place
from galaxy_notify.redis_state.reading import try_all
from galaxy_notify.redis_state.runner import RedisFault, fault_of

_ENDLESS: Final = 10**15

#: What scripts, workers and producers run; `never` and `stream` stand for the keys.
ESSENTIAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "BLPOP": ("never", "0.01"),
    "DEL": ("never",),
    "EXISTS": ("never",),
    "HDEL": ("never", "f"),
    "HEXISTS": ("never", "f"),
    "HGET": ("never", "f"),
    "HGETALL": ("never",),
    "HINCRBY": ("never", "f", "x"),
    "HLEN": ("never",),
    "HMGET": ("never", "f"),
    "HSET": ("never", "f", "v", "f"),
    "HSETNX": ("meta", "format", "1"),
    "LLEN": ("never",),
    "PERSIST": ("never",),
    "PEXPIRE": ("never", "1"),
    "PING": (),
    "PTTL": ("never",),
    "RPUSH": ("meta", "x"),
    "SADD": ("meta", "x"),
    "SISMEMBER": ("never", "x"),
    "SREM": ("never", "x"),
    "TIME": (),
    "XACK": ("never", "g", "1-1"),
    "XADD": ("stream", "NOMKSTREAM", "*", "f"),
    "XDEL": ("stream", "1-1"),
    "XINFO CONSUMERS": ("never", "g"),
    "XINFO GROUPS": ("never",),
    "XLEN": ("stream",),
    "XPENDING": ("never", "g"),
    "XRANGE": ("stream", "+", "-", "COUNT", "1"),
    "XTRIM": ("stream", "MAXLEN", _ENDLESS),
    "ZADD": ("never", "XX", "1", "x"),
    "ZCARD": ("never",),
    "ZCOUNT": ("never", "1", "0"),
    "ZRANGE": ("never", "0", "0"),
    "ZRANGEBYSCORE": ("never", "1", "0"),
    "ZREM": ("never", "x"),
    "ZREMRANGEBYRANK": ("never", "0", "0"),
    "ZREMRANGEBYSCORE": ("never", "1", "0"),
    "ZREVRANGEBYSCORE": ("never", "0", "1"),
    "ZSCORE": ("never", "x"),
}

#: What only consumers of the gateway stream and operators' commands run.
FURTHER: Final[Mapping[str, tuple[Any, ...]]] = {
    "HKEYS": ("never",),
    "HSCAN": ("never", "0"),
    "SCAN": ("0", "COUNT", "1"),
    "UNLINK": ("never",),
    "XAUTOCLAIM": ("never", "g", "c", "1", "0"),
    "XGROUP CREATE": ("never", "g", "0"),
    "XGROUP DESTROY": ("never", "g"),
    "XINFO STREAM": ("never",),
    "XREAD": ("COUNT", "1", "STREAMS", "never", "0"),
    "XREADGROUP": ("GROUP", "g", "c", "COUNT", "1", "STREAMS", "never", ">"),
    "XREVRANGE": ("never", "+", "-", "COUNT", "1"),
    "ZMSCORE": ("never", "x"),
    "ZRANK": ("never", "x"),
    "ZSCAN": ("never", "0"),
}
# Without the deployment's hash these would create a key instead of meeting one of another type.
_NEED_META: Final = frozenset({"HSETNX", "RPUSH", "SADD"})


@dataclass(frozen=True, slots=True)
class Refused:
    """The commands that the user may not run."""

    essential: tuple[str, ...]
    further: tuple[str, ...]

    @property
    def everything(self) -> bool:
        """Tell whether not even reading is allowed: the keys are, and not the commands."""
        return {"HGET", "ZADD", "HSET", "ZCARD"} <= set(self.essential)


def refused_commands(place: Place) -> Refused:
    """Return what the user may not run; raise `RedisFault` where Redis is away."""
    keys = place.keys(0)
    (known,) = try_all(place, [["EXISTS", keys.meta]])
    skipped = frozenset() if known == 1 else _NEED_META
    essential = _refused(place, keys, {k: v for k, v in ESSENTIAL.items() if k not in skipped})
    if not _may_use_transactions(place):
        essential = (*essential, "MULTI")
    return Refused(essential, _refused(place, keys, FURTHER))


def _refused(place: Place, keys: Keys, probes: Mapping[str, tuple[Any, ...]]) -> tuple[str, ...]:
    names = {"never": keys.never, "stream": keys.stream, "meta": keys.meta}
    commands = [
        [*command.split(), *(names.get(str(argument), argument) for argument in arguments)]
        for command, arguments in probes.items()
    ]
    replies = try_all(place, commands)
    return tuple(
        command
        for command, reply in zip(probes, replies, strict=True)
        if isinstance(reply, RedisFault) and reply.fault.code == "NOPERM"
    )


def _may_use_transactions(place: Place) -> bool:
    try:
        with at_shard(place.client, place.keys(0)).pipeline(transaction=True) as pipeline:
            pipeline.ping()
            pipeline.execute()
    except REDIS_ERRORS as error:
        return fault_of(error).fault.code != "NOPERM"
    return True
