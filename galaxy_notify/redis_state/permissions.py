"""Which of the needed commands and keys the user may use, asked without changing anything.

Redis checks permissions before it looks at what a command would do, so each one is sent in a form
that does nothing: on a key that never exists, or with arguments that cannot be. What a user may
run directly, a script may run for it. Where the answer is about the key, the command is allowed on
others; the keys are tried with a script that is not loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import redis.asyncio

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.faults import REDIS_ERRORS, Fault, RedisFault, fault_of
from galaxy_notify.redis_client.flows import Flow, run_flow, run_flow_sync
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_client.scripts import Command, script
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.roles import RIGHTS, Role, commands_of, grant

_ENDLESS: Final = 10**15
#: The digest of no script.
_UNLOADED: Final = "0" * 40

# Arguments → the commands that they suit, as ACL rules name them.
_PROBED_ALIKE: Final[Mapping[tuple[Any, ...], str]] = {
    ("never",): (
        "del exists get hgetall hkeys hlen llen memory|usage mget persist pttl unlink xinfo|groups"
        " zcard"
    ),
    ("meta", "x"): "rpush sadd",
    ("never", "0"): "hscan lindex zscan",
    ("never", "0", "0"): "lrange ltrim zrange zremrangebyrank zrevrange",
    ("never", "1", "0"): "zcount zrangebyscore zremrangebyscore",
    ("never", "f"): "hdel hexists hget hmget hstrlen",
    ("never", "g"): "xgroup|destroy xinfo|consumers xpending",
    ("never", "x"): "lpos sismember srem zmscore zrank zrem zscore",
}
#: A harmless form of every command; `never`, `meta` and `stream` stand for the keys.
PROBES: Final[Mapping[str, tuple[Any, ...]]] = {
    command: arguments
    for arguments, names in _PROBED_ALIKE.items()
    for command in commands_of(names)
} | {
    "BLPOP": ("never", "0.01"),
    "EVALSHA": (_UNLOADED, "0"),
    "HINCRBY": ("never", "f", "x"),
    "HSET": ("never", "f", "v", "f"),
    "HSETNX": ("meta", "format", "1"),
    "INFO": ("server",),
    "LSET": ("never", "0", "x"),
    "PEXPIRE": ("never", "1"),
    "SCAN": ("0", "COUNT", "1"),
    "SCRIPT LOAD": ("script",),
    "SET": ("never", "x", "NX", "XX"),
    "TIME": (),
    "XACK": ("never", "g", "1-1"),
    "XADD": ("never", "NOMKSTREAM", "*", "f"),
    "XCLAIM": ("never", "g", "c", "1", "1-1"),
    "XDEL": ("stream", "1-1"),
    "XGROUP CREATE": ("never", "g", "0"),
    "XGROUP DELCONSUMER": ("never", "g", "c"),
    "XLEN": ("stream",),
    "XRANGE": ("stream", "+", "-", "COUNT", "1"),
    "XREAD": ("COUNT", "1", "STREAMS", "never", "0"),
    "XREADGROUP": ("GROUP", "g", "c", "COUNT", "1", "STREAMS", "never", ">"),
    "XREVRANGE": ("never", "-", "+", "COUNT", "1"),
    "XTRIM": ("stream", "MAXLEN", _ENDLESS),
    "ZADD": ("never", "XX", "1", "x"),
    "ZREVRANGEBYSCORE": ("never", "0", "1"),
}
#: Who does not name himself cannot connect at all; a transaction is tried as a whole.
UNPROBED: Final = frozenset({"CLIENT SETNAME", "EXEC", "MULTI"})
# Without the deployment's hash these would create a key instead of meeting one of another type.
_NEED_META: Final = frozenset({"HSETNX", "RPUSH", "SADD"})


@dataclass(frozen=True, slots=True)
class Refused:
    """The commands that the user may not run, and the patterns of the keys it may not touch."""

    commands: frozenset[str]
    keys: Mapping[Role, frozenset[str]] = field(default_factory=dict)

    def of(self, role: Role) -> Refused:
        """Return what of it a role needs."""
        needed = self.commands & set(RIGHTS[role].commands)
        return Refused(needed, {role: self.keys.get(role, frozenset())})

    @property
    def patterns(self) -> list[str]:
        """Return the patterns of the keys, in order."""
        return sorted(frozenset[str]().union(*self.keys.values()))

    @property
    def role(self) -> Role:
        """Return the role that the user is likest to."""
        probed = {*PROBES, "MULTI"}

        def differs(role: Role) -> int:
            return len(probed.intersection(RIGHTS[role].commands) ^ (probed - self.commands))

        return min(Role, key=differs)

    def __bool__(self) -> bool:
        return bool(self.commands or self.patterns)

    def __str__(self) -> str:
        may = [f"run {', '.join(sorted(self.commands))}"] * bool(self.commands)
        return " or ".join([*may, *(f"touch {key}" for key in self.patterns)])

    @property
    def rules(self) -> str:
        """Return the words of an ACL that would allow it."""
        patterns = (f"~{key}" for key in self.patterns)
        return " ".join([*patterns, *map(grant, sorted(self.commands))])


def refused_commands(deployment: Deployment) -> Refused:
    """Return all that the user may not use; raise `RedisFault` where Redis is away."""
    flow = _refused(deployment.keys(0), PROBES, Role)
    refused, _ = run_flow_sync(deployment.client, flow)
    if _may_use_transactions(deployment):
        return refused
    return replace(refused, commands=refused.commands | {"MULTI"})


def missing_rights(keys: Keys, role: Role) -> Flow[str]:
    """Return the rights that a role's user lacks, and what grants them; empty if none."""
    refused, faults = yield from _refused(keys, RIGHTS[role].commands, [role])
    if not refused:
        return ""
    met = next(fault for fault in faults if fault)
    return (
        f"user {met.user} at {met.server} may not {refused};"
        f" ACL SETUSER {met.user} {refused.rules} allows it"
    )


async def check_rights(client: redis.asyncio.Redis, keys: Keys, role: Role, user: str) -> None:
    """Raise `ConfigurationError` for what a role's user may not use, with what would allow it.

    Raises `RedisFault` where Redis is away.
    """
    flow = _refused(keys, RIGHTS[role].commands, [role])
    refused, _ = await run_flow(at_shard(client, keys.tag), flow)
    if refused:
        raise ConfigurationError(
            f"redis: user {user} may not {refused}: ACL SETUSER {user} {refused.rules}"
        )


def _refused(
    keys: Keys, commands: Iterable[str], roles: Iterable[Role]
) -> Flow[tuple[Refused, Sequence[Fault | None]]]:
    """Ask for some commands, and for the keys of some roles; return also the fault of each."""
    (known,) = yield [Command(["EXISTS", keys.meta])]
    unsent = UNPROBED if known == 1 else UNPROBED | _NEED_META
    sent = [command for command in commands if command not in unsent]
    patterns = {role: list(_patterns(keys, role)) for role in roles}
    touched = sorted({key for some in patterns.values() for _, key in some})
    probes = [
        *(_probe(keys, command) for command in sent),
        *(["EVALSHA", _UNLOADED, "1", key] for key in touched),
    ]
    replies = yield [Command(probe) for probe in probes]
    faults = [_lack(reply) for reply in replies]
    refused = (
        command
        for command, fault in zip(sent, faults[: len(sent)], strict=True)
        if fault and not fault.is_about_a_key
    )
    untouched = {
        key
        for key, fault in zip(touched, faults[len(sent) :], strict=True)
        if fault and fault.is_about_a_key
    }
    of_roles = {
        role: frozenset(pattern for pattern, key in some if key in untouched)
        for role, some in patterns.items()
    }
    return Refused(frozenset(refused), of_roles), faults


def _probe(keys: Keys, command: str) -> list[Any]:
    names: dict[Any, str] = {"never": keys.never, "stream": keys.stream, "meta": keys.meta}
    names["script"] = script("channel_pause").source
    arguments = (names.get(argument, argument) for argument in PROBES[command])
    return [*command.split(), *arguments]


def _lack(reply: Any) -> Fault | None:
    """Return the fault of a reply that says that a right is missing."""
    is_one = isinstance(reply, RedisFault) and reply.fault.code == "NOPERM"
    return reply.fault if is_one else None


def _patterns(keys: Keys, role: Role) -> Iterator[tuple[str, str]]:
    """Yield the patterns of a role, each with a key that it matches."""
    for key in RIGHTS[role].keys:
        head, own, name = key.partition(":*}:")
        if not own or head != "PREFIX":
            continue  # the intent stream and `bench` are asked for where they are used
        if name == "client-events":
            yield keys.stream.replace(keys.tag, f"{{{keys.prefix}:*}}:"), keys.stream
        else:
            yield f"{{{keys.prefix}:*}}:{name}", keys.tag + name.replace("*", "never")


def _may_use_transactions(deployment: Deployment) -> bool:
    try:
        with at_shard(deployment.client, deployment.keys(0).tag).pipeline(
            transaction=True
        ) as pipeline:
            pipeline.time()
            pipeline.execute()
    except REDIS_ERRORS as error:
        return fault_of(error).fault.code != "NOPERM"
    return True
