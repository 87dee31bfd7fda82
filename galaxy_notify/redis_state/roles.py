"""What each kind of user may do in Redis: the source of the ACL files and of every check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple


class Role(StrEnum):
    """Who connects to Redis."""

    DAEMON = "daemon"
    PRODUCER = "producer"
    INTAKE = "intake"
    CONSUMER = "consumer"
    GATEWAY = "gateway"
    FEED = "feed"
    OPERATOR = "operator"
    READER = "reader"


class Writes(NamedTuple):
    """Commands that write, and the patterns of the keys on which a role runs them."""

    keys: tuple[str, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rights:
    """The patterns of the keys that a role touches, and the commands that it and its scripts run.

    Every pattern has the prefix of the deployment where it says ``PREFIX``, and the name of the
    intent stream where it says ``INTENTS``. *reads* are the commands that change no key.
    """

    keys: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[Writes, ...] = ()

    @property
    def commands(self) -> tuple[str, ...]:
        """Return every command, in order."""
        writes = (command for each in self.writes for command in each.commands)
        return tuple(sorted({*self.reads, *writes}))

    def line(self, role: Role, prefix: str = "gn", intents: str = "gn:intents") -> str:
        """Return the line of an ACL file that gives a user these rights.

        Every server knows its words, which let each command run on each of the keys.
        """
        words = [*_patterns(self.keys), *map(grant, self.commands)]
        return _filled(f"user galaxy-notify-{role} {_NOTHING} {' '.join(words)}", prefix, intents)

    def narrow_line(self, role: Role, prefix: str = "gn", intents: str = "gn:intents") -> str:
        """Return the line in which each command that writes has keys of its own.

        Its selectors are known to Redis 7.0, Valkey and later ones.
        """
        words = [*_patterns(self.keys), *map(grant, self.reads)]
        for keys, commands in self.writes:
            words.append(f"({' '.join([*_patterns(keys), *map(grant, commands)])})")
        line = f"user galaxy-notify-{role} clearselectors {_NOTHING} {' '.join(words)}"
        return _filled(line, prefix, intents)


_NOTHING: Final = "resetkeys resetchannels -@all"


def grant(command: str) -> str:
    """Return the rule that allows a command."""
    return "+" + command.lower().replace(" ", "|")


def _patterns(keys: Iterable[str]) -> Iterator[str]:
    return (f"~{key}" for key in keys)


def _filled(line: str, prefix: str, intents: str) -> str:
    return line.replace("PREFIX", f"{{{prefix}").replace("INTENTS", intents)


def _rights(keys: str, reads: str, writes: str = "") -> Rights:
    """Read the rights of a role; a line of *writes* is ``keys = commands``.

    A name of a key without a prefix is one of a shard.
    """
    # Every connection names itself, and every role runs scripts: a script may what its caller may.
    every = "client|setname evalsha script|load " + reads
    rows = (line.partition(" = ") for line in writes.splitlines() if line.strip())
    return Rights(
        _keys(keys),
        commands_of(every),
        tuple(Writes(_keys(names), commands_of(commands)) for names, _, commands in rows),
    )


def _keys(names: str) -> tuple[str, ...]:
    own = ("INTENTS", "{")
    return tuple(name if name.startswith(own) else f"PREFIX:*}}:{name}" for name in names.split())


def commands_of(names: str) -> tuple[str, ...]:
    """Return the commands that ACL rules name, in order."""
    return tuple(sorted(name.upper().replace("|", " ") for name in names.split()))


#: What everyone who accepts and cancels touches and runs.
_ACCEPT_KEYS: Final = """
    abandoned:* accepted cooldown:* meta never newest:* notification:* preferences:* preferred
    schedule:* totals wake:*
    """
_ACCEPT_READS: Final = """
    exists get hexists hget hgetall hkeys hlen hmget llen time zrange zscore
    """
_ACCEPT_WRITES: Final = """
    abandoned:* = hdel
    accepted INTENTS = xadd
    cooldown:* newest:* preferred = set
    meta = hsetnx
    notification:* = del hincrby hset pexpire
    preferences:* = del hdel hset
    schedule:* = zadd zrem
    totals = hincrby
    wake:* = rpush
    """

RIGHTS: Final[Mapping[Role, Rights]] = {
    Role.DAEMON: _rights(
        """
        abandoned:* accepted attempts:* client-events contacts:* dead:* deliveries feed_backlog
        feed_writers janitor leases:* lost meta never notification:* orphans parked paused rate:*
        schedule:* totals wake:* worker:* workers
        """,
        """
        exec exists get hexists hget hgetall hkeys hlen hmget hscan hstrlen lindex llen lpos multi
        pttl scan sismember time xinfo|consumers xinfo|groups xlen xpending xrange zcard zcount
        zmscore zrange zrangebyscore zrevrangebyscore zscan zscore
        """,
        """
        abandoned:* = hdel hset
        accepted = xdel xtrim
        attempts:* = ltrim pexpire rpush
        client-events = xack xadd xdel xgroup|create xgroup|delconsumer xreadgroup xtrim
        contacts:* = hdel hset
        dead:* leases:* = zadd zrem
        deliveries = xadd xgroup|delconsumer
        feed_backlog = xadd xgroup|create xgroup|delconsumer
        janitor = del pexpire set
        lost = hdel hincrby
        meta = hset hsetnx
        notification:* = hdel hincrby hset persist pexpire
        orphans = xadd
        rate:* = set
        schedule:* workers = zadd zrem zremrangebyscore
        totals = hincrby
        wake:* = blpop rpush
        worker:* = del hset pexpire
        """,
    ),
    Role.PRODUCER: _rights(
        f"{_ACCEPT_KEYS} INTENTS edge:*", _ACCEPT_READS, f"{_ACCEPT_WRITES}\n edge:* = pexpire set"
    ),
    Role.INTAKE: _rights(
        f"{_ACCEPT_KEYS} INTENTS INTENTS:rejects INTENTS:never",
        f"{_ACCEPT_READS} xinfo|consumers xlen xpending xrange",
        f"""{_ACCEPT_WRITES}
        INTENTS = xack xclaim xdel xgroup|create xgroup|delconsumer xreadgroup
        INTENTS:rejects = xadd xdel xtrim
        """,
    ),
    Role.CONSUMER: _rights(
        "client-events lost meta never parked seen:*",
        "hget hmget time xinfo|groups xlen xpending xrange zmscore",
        """
        client-events = xack xclaim xgroup|create xreadgroup
        lost = hdel
        parked = xadd xtrim
        seen:* = pexpire zadd zremrangebyrank zremrangebyscore
        """,
    ),
    Role.GATEWAY: _rights(
        # Inboxes have slots of their own, and tags that the pattern of shards fits too.
        """
        client-events gateway:* gateways inbox logout:* lost meta never parked preferences:*
        preferred presence:* recent:* tickets:* unread:*
        """,
        """
        exists hgetall hkeys hlen hmget lindex llen lpos lrange mget scan time xlen xpending xrange
        xread zrangebyscore
        """,
        """
        client-events = xack xclaim xgroup|create xgroup|delconsumer xreadgroup
        gateway:* = del hset pexpire
        gateways = zadd zrem zremrangebyscore
        inbox = del pexpire xadd xtrim
        lost = hdel
        parked = xadd xtrim
        preferences:* = del hdel hset
        preferred = set
        presence:* = del pexpire zadd zrem zremrangebyscore
        recent:* = del lset ltrim pexpire rpush
        tickets:* = pexpire zadd zrem zremrangebyrank zremrangebyscore
        unread:* = del hset pexpire
        """,
    ),
    Role.FEED: _rights(
        # Also what it takes to deliver what is published directly, and its counts.
        """
        client-events deliveries feed_backlog feed_writers inbox lost meta never parked presence:*
        recent:* sweeper swept unread:*
        """,
        """
        exists get hmget lindex lpos lrange pttl scan time xinfo|groups xlen xpending xrange
        zrangebyscore zrevrangebyscore
        """,
        """
        client-events = xack xclaim xgroup|create xgroup|delconsumer xreadgroup
        deliveries = xack xclaim xgroup|create xgroup|delconsumer xreadgroup
        feed_backlog = xack xadd xclaim xdel xgroup|create xgroup|delconsumer xreadgroup
        feed_writers = zadd zrem zremrangebyscore
        inbox = xadd
        lost = hdel
        parked = xadd xtrim
        presence:* = zrem
        recent:* = del lset ltrim pexpire rpush
        sweeper = del pexpire set
        swept = del hset
        unread:* = del hset pexpire
        """,
    ),
    Role.OPERATOR: _rights(
        # `bench` writes below a prefix of its own, with any prefix of the deployment.
        "* {gn-bench-*}:* INTENTS INTENTS:rejects INTENTS:never",
        """
        exec exists get hexists hget hgetall hkeys hlen hmget hscan hstrlen info lindex llen lpos
        lrange memory|usage multi pttl scan sismember time xinfo|consumers xinfo|groups xlen
        xpending xrange xread xrevrange zcard zcount zmscore zrange zrangebyscore zrank zrevrange
        zrevrangebyscore zscan zscore
        """,
        """
        abandoned:* lost = hdel
        accepted INTENTS orphans = xadd
        attempts:* = del ltrim pexpire rpush
        client-events = xgroup|destroy
        dead:* schedule:* = zadd zrem
        gateways = del zrem
        gateway:* inbox presence:* recent:* unread:* = del pexpire
        inbox = xadd
        logout:* = set
        presence:* = zrem
        recent:* = lset ltrim rpush
        unread:* = hset
        tickets:* = del
        INTENTS INTENTS:rejects = xdel
        meta = hsetnx
        notification:* = del hincrby hset persist pexpire
        paused = sadd srem
        pauses = hdel hset
        contacts:* preferences:* = del hdel hset
        cooldown:* newest:* preferred = set
        deliveries feed_backlog feed_writers seen:* = unlink
        totals = hincrby
        wake:* = rpush
        workers = zadd
        {gn-bench-*}:* = blpop del hincrby hset hsetnx pexpire rpush set
        {gn-bench-*}:* = unlink xadd zadd zrem zremrangebyscore
        """,
    ),
    Role.READER: _rights(
        "* INTENTS INTENTS:rejects",
        """
        hexists hget hgetall hkeys hlen hmget hscan hstrlen info llen lrange memory|usage pttl scan
        sismember time xinfo|consumers xinfo|groups xlen xpending xrange xread xrevrange zcard
        zcount zmscore zrange zrangebyscore zrank zscan zscore
        """,
    ),
}
