"""Which of the commands and keys that we need the user may use, asked without changing anything.

Redis checks permissions before it looks at what a command would do, so each one is sent in a form
that does nothing: on the key that nobody creates, or with arguments that cannot be. What a user may
run directly, a script may run for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import redis.asyncio

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_state.faults import REDIS_ERRORS, RedisFault, fault_of
from galaxy_notify.redis_state.flows import Flow
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.nodes import at_shard
from galaxy_notify.redis_state.place import Place
from galaxy_notify.redis_state.reading import try_all
from galaxy_notify.redis_state.roles import RIGHTS, Role, grant
from galaxy_notify.redis_state.runner import run_all
from galaxy_notify.redis_state.scripts import Read, script

_ENDLESS: Final = 10**15

#: A harmless form of every command; `never`, `meta` and `stream` stand for the keys.
PROBES: Final[Mapping[str, tuple[Any, ...]]] = {
    "BLPOP": ("never", "0.01"),
    "CONFIG GET": ("save",),
    "DEL": ("never",),
    "EVALSHA": ("0" * 40, "0"),
    "EXISTS": ("never",),
    "GET": ("never",),
    "HDEL": ("never", "f"),
    "HEXISTS": ("never", "f"),
    "HGET": ("never", "f"),
    "HGETALL": ("never",),
    "HINCRBY": ("never", "f", "x"),
    "HKEYS": ("never",),
    "HLEN": ("never",),
    "HMGET": ("never", "f"),
    "HSCAN": ("never", "0"),
    "HSET": ("never", "f", "v", "f"),
    "HSETNX": ("meta", "format", "1"),
    "HSTRLEN": ("never", "f"),
    "INFO": ("server",),
    "LLEN": ("never",),
    "PERSIST": ("never",),
    "PEXPIRE": ("never", "1"),
    "PTTL": ("never",),
    "RPUSH": ("meta", "x"),
    "SADD": ("meta", "x"),
    "SCAN": ("0", "COUNT", "1"),
    "SCRIPT LOAD": ("script",),
    "SET": ("never", "x", "NX", "XX"),
    "SISMEMBER": ("never", "x"),
    "SREM": ("never", "x"),
    "TIME": (),
    "UNLINK": ("never",),
    "XACK": ("never", "g", "1-1"),
    "XADD": ("never", "NOMKSTREAM", "*", "f"),
    "XCLAIM": ("never", "g", "c", "1", "1-1"),
    "XDEL": ("stream", "1-1"),
    "XGROUP CREATE": ("never", "g", "0"),
    "XGROUP DELCONSUMER": ("never", "g", "c"),
    "XGROUP DESTROY": ("never", "g"),
    "XINFO CONSUMERS": ("never", "g"),
    "XINFO GROUPS": ("never",),
    "XLEN": ("stream",),
    "XPENDING": ("never", "g"),
    "XRANGE": ("stream", "+", "-", "COUNT", "1"),
    "XREAD": ("COUNT", "1", "STREAMS", "never", "0"),
    "XREADGROUP": ("GROUP", "g", "c", "COUNT", "1", "STREAMS", "never", ">"),
    "XREVRANGE": ("never", "-", "+", "COUNT", "1"),
    "XTRIM": ("stream", "MAXLEN", _ENDLESS),
    "ZADD": ("never", "XX", "1", "x"),
    "ZCARD": ("never",),
    "ZCOUNT": ("never", "1", "0"),
    "ZMSCORE": ("never", "x"),
    "ZRANGE": ("never", "0", "0"),
    "ZRANGEBYSCORE": ("never", "1", "0"),
    "ZRANK": ("never", "x"),
    "ZREM": ("never", "x"),
    "ZREMRANGEBYRANK": ("never", "0", "0"),
    "ZREMRANGEBYSCORE": ("never", "1", "0"),
    "ZREVRANGE": ("never", "0", "0"),
    "ZREVRANGEBYSCORE": ("never", "0", "1"),
    "ZSCAN": ("never", "0"),
    "ZSCORE": ("never", "x"),
}
#: Who does not name himself cannot connect at all; a transaction is tried as a whole.
UNPROBED: Final = frozenset({"CLIENT SETNAME", "EXEC", "MULTI"})
# Without the deployment's hash these would create a key instead of meeting one of another type.
_WITHOUT_EVENTS: Final = (Role.PRODUCER, Role.INTAKE)
_NEED_META: Final = frozenset({"HSETNX", "RPUSH", "SADD"})


@dataclass(frozen=True, slots=True)
class Refused:
    """The commands that the user may not run, and the keys that it may not touch."""

    commands: frozenset[str]
    keys: frozenset[str] = frozenset()
    #: The pattern of the gateway stream, which not every role reads or writes.
    stream: str = ""

    def of(self, role: Role) -> Refused:
        """Return what of it a role needs."""
        unneeded = {self.stream} if role in _WITHOUT_EVENTS else set()
        return Refused(self.commands & set(RIGHTS[role].commands), self.keys - unneeded)

    @property
    def role(self) -> Role:
        """Return the role that the user is likest to."""
        probed = {*PROBES, "MULTI"}

        def differs(role: Role) -> int:
            return len(probed.intersection(RIGHTS[role].commands) ^ (probed - self.commands))

        return min(Role, key=differs)

    def __bool__(self) -> bool:
        return bool(self.commands or self.keys)

    def __str__(self) -> str:
        may = [f"run {', '.join(sorted(self.commands))}"] * bool(self.commands)
        return " or ".join([*may, *(f"touch {key}" for key in sorted(self.keys))])

    @property
    def rules(self) -> str:
        """Return the words of an ACL that would allow it."""
        patterns = (f"~{key}" for key in sorted(self.keys))
        return " ".join([*patterns, *map(grant, sorted(self.commands))])


def refused_commands(place: Place) -> Refused:
    """Return all that the user may not use; raise `RedisFault` where Redis is away."""
    keys = place.keys(0)
    (known,) = try_all(place, [["EXISTS", keys.meta]])
    probes = _probes(keys, PROBES, known)
    refused = _refused(keys, probes, try_all(place, probes.values()))
    if _may_use_transactions(place):
        return refused
    return replace(refused, commands=refused.commands | {"MULTI"})


def missing_rights(keys: Keys, role: Role) -> Flow[str]:
    """Say what a role's user may not do, and what would allow it; empty where it may do all."""
    (known,) = yield [Read(["EXISTS", keys.meta])]
    probes = _probes(keys, RIGHTS[role].commands, known)
    replies = yield [Read(probe) for probe in probes.values()]
    refused = _refused(keys, probes, replies).of(role)
    if not refused:
        return ""
    faults = (reply.fault for reply in replies if isinstance(reply, RedisFault))
    met = next(fault for fault in faults if fault.code == "NOPERM")
    return (
        f"user {met.user} at {met.server} may not {refused};"
        f" ACL SETUSER {met.user} {refused.rules} allows it"
    )


async def check_rights(client: redis.asyncio.Redis, keys: Keys, role: Role, user: str) -> None:
    """Raise `ConfigurationError` for what a role's user may not use, with what would allow it.

    Raises `RedisFault` where Redis is away.
    """
    client = at_shard(client, keys)
    (known,) = await run_all(client, [Read(["EXISTS", keys.meta])])
    probes = _probes(keys, RIGHTS[role].commands, known)
    replies = await run_all(client, [Read(probe) for probe in probes.values()])
    refused = _refused(keys, probes, replies).of(role)
    if refused:
        raise ConfigurationError(
            f"redis: user {user} may not {refused}: ACL SETUSER {user} {refused.rules}"
        )


def _probes(keys: Keys, commands: Iterable[str], known: Any) -> dict[str, list[Any]]:
    names: dict[Any, str] = {"never": keys.never, "stream": keys.stream, "meta": keys.meta}
    names["script"] = script("pause").source
    left_out = UNPROBED if known == 1 else UNPROBED | _NEED_META
    return {
        command: [
            *command.split(),
            *(names.get(argument, argument) for argument in PROBES[command]),
        ]
        for command in commands
        if command not in left_out
    }


def _refused(keys: Keys, probes: Mapping[str, list[Any]], replies: Sequence[Any]) -> Refused:
    commands, patterns = set(), set()
    for (command, probe), reply in zip(probes.items(), replies, strict=True):
        if not isinstance(reply, RedisFault) or reply.fault.code != "NOPERM":
            continue
        if reply.fault.is_about_a_key:
            touched = next(word for word in probe if word in (keys.never, keys.meta, keys.stream))
            patterns.add(_pattern(keys, touched))
        else:
            commands.add(command)
    return Refused(frozenset(commands), frozenset(patterns), _pattern(keys, keys.stream))


def _pattern(keys: Keys, key: str) -> str:
    return key.replace(keys.tag, f"{{{keys.prefix}:*}}:")


def _may_use_transactions(place: Place) -> bool:
    try:
        with at_shard(place.client, place.keys(0)).pipeline(transaction=True) as pipeline:
            pipeline.time()
            pipeline.execute()
    except REDIS_ERRORS as error:
        return fault_of(error).fault.code != "NOPERM"
    return True
