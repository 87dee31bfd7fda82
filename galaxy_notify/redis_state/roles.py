"""What each kind of user may do in Redis: the source of ``config/users.acl`` and of every check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Who connects to Redis."""

    DAEMON = "daemon"
    PRODUCER = "producer"
    INTAKE = "intake"
    CONSUMER = "consumer"
    OPERATOR = "operator"
    READER = "reader"


@dataclass(frozen=True, slots=True)
class Rights:
    """The patterns of the keys that a role touches, and the commands that it and its scripts run.

    Every pattern has the prefix of the deployment where it says ``PREFIX``, and the name of the
    intent stream where it says ``INTENTS``.
    """

    keys: tuple[str, ...]
    commands: tuple[str, ...]

    def line(self, role: Role, prefix: str = "gn", intents: str = "gn:intents") -> str:
        """Return the line of an ACL file that gives a user these rights and no others."""
        patterns = (
            f"~{key}".replace("PREFIX", f"{{{prefix}").replace("INTENTS", intents)
            for key in self.keys
        )
        words = [f"user galaxy-notify-{role} resetkeys resetchannels -@all", *patterns]
        return " ".join([*words, *map(grant, self.commands)])


def grant(command: str) -> str:
    """Return the rule that allows a command."""
    return "+" + command.lower().replace(" ", "|")


def _rights(keys: str, commands: str) -> Rights:
    # Every connection names itself, and every role runs scripts: a script may what its caller may.
    every = "client|setname evalsha script|load " + commands
    names = (name.upper().replace("|", " ") for name in every.split())
    return Rights(tuple(keys.split()), tuple(sorted(names)))


#: What whoever accepts and cancels touches and runs.
_ACCEPT_KEYS: Final = """
    PREFIX:*}:abandoned:* PREFIX:*}:accepted PREFIX:*}:cooldown:* PREFIX:*}:meta
    PREFIX:*}:never PREFIX:*}:newest:* PREFIX:*}:notification:* PREFIX:*}:preferences:*
    PREFIX:*}:preferred PREFIX:*}:schedule:* PREFIX:*}:totals PREFIX:*}:wake:*
    """
_ACCEPT_COMMANDS: Final = """
    del exists get hdel hexists hget hgetall hincrby hkeys hlen hmget hset hsetnx llen pexpire
    rpush set time xadd zadd zrange zrem zscore
    """

RIGHTS: Final[Mapping[Role, Rights]] = {
    Role.DAEMON: _rights(
        """
        PREFIX:*}:abandoned:* PREFIX:*}:accepted PREFIX:*}:client-events PREFIX:*}:dead:*
        PREFIX:*}:janitor
        PREFIX:*}:leases:* PREFIX:*}:lost PREFIX:*}:meta PREFIX:*}:never PREFIX:*}:notification:*
        PREFIX:*}:orphans PREFIX:*}:parked PREFIX:*}:paused PREFIX:*}:schedule:*
        PREFIX:*}:totals PREFIX:*}:wake:* PREFIX:*}:worker:* PREFIX:*}:workers
        """,
        """
        blpop del exec exists get hdel hexists hget hincrby hkeys hlen hmget hscan hset hsetnx
        hstrlen llen multi persist pexpire pttl rpush scan set sismember time xack xadd xdel
        xgroup|delconsumer xinfo|consumers xinfo|groups xlen xpending xrange xtrim zadd zcard zcount
        zmscore zrange zrangebyscore zrem zremrangebyscore zrevrangebyscore zscan zscore
        """,
    ),
    Role.PRODUCER: _rights(f"{_ACCEPT_KEYS} INTENTS", _ACCEPT_COMMANDS),
    Role.INTAKE: _rights(
        f"{_ACCEPT_KEYS} INTENTS INTENTS:rejects INTENTS:never",
        f"""
        {_ACCEPT_COMMANDS} xack xclaim xdel xgroup|create xgroup|delconsumer xinfo|consumers
        xlen xpending xrange xreadgroup xtrim
        """,
    ),
    Role.CONSUMER: _rights(
        """
        PREFIX:*}:client-events PREFIX:*}:lost PREFIX:*}:meta PREFIX:*}:never
        PREFIX:*}:parked PREFIX:*}:seen:*
        """,
        """
        hdel hget hmget pexpire time xack xadd xclaim xgroup|create xinfo|groups xlen
        xpending xrange xreadgroup xtrim zadd zmscore zremrangebyrank zremrangebyscore
        """,
    ),
    Role.OPERATOR: _rights(
        # `bench` writes below a prefix of its own, whatever the deployment's is.
        "PREFIX:*}:* {gn-bench-*}:* INTENTS INTENTS:rejects INTENTS:never",
        """
        blpop config|get del exec exists get hdel hexists hget hgetall hincrby hkeys hlen hmget
        hscan hset hsetnx hstrlen info llen multi persist pexpire pttl rpush sadd scan set
        sismember srem time unlink xadd xdel xgroup|destroy xinfo|groups xlen xpending
        xrange xread xrevrange zadd zcard zcount zmscore zrange zrangebyscore zrank zrem
        zremrangebyscore zrevrange zrevrangebyscore zscan zscore
        """,
    ),
    Role.READER: _rights(
        "PREFIX:*}:* INTENTS INTENTS:rejects",
        """
        config|get hexists hget hgetall hkeys hlen hmget hscan hstrlen info llen pttl scan sismember
        time xinfo|groups xlen xpending xrange xread xrevrange zcard zcount zmscore
        zrange zrangebyscore zrank zscan zscore
        """,
    ),
}
