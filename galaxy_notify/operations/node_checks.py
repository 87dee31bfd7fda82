"""What of one server endangers the guarantees: version, memory, persistence, latency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from galaxy_notify.model.wording import duration
from galaxy_notify.operations.finding import AVAILABILITY, EARLY, LOST, Finding, Guarantee
from galaxy_notify.redis_client.scripts import names
from galaxy_notify.redis_inspect.node_report import OPTIONS, Fields, NodeReport, Slow

_OLDEST: Final = (6, 2)
_FULL: Final = 0.8
_SLOW_TRIP_MS: Final = 20.0
_CLOCK_MS: Final = 1000
_SLOW_CALL_MS: Final = 100
_RECENT_S: Final = 3600


#: What each command shows.
_TOPICS: Final = {
    "INFO": "memory, eviction, persistence and replicas",
    "CONFIG GET": "the fsync policy, snapshots and how many replicas a write needs",
    "SCRIPT EXISTS": "the script cache",
    "SLOWLOG GET": "slow commands",
    "LATENCY LATEST": "latency spikes",
    "CLUSTER INFO": "the state of the cluster",
    "CLUSTER SLOTS": "slots without an owner",
}
#: The commands for an administrator, where they are not the same.
_COMMANDS: Final = {
    "CONFIG GET": [f"CONFIG GET {option}" for option in OPTIONS],
    "SCRIPT EXISTS": ["INFO memory"],
}


def node_findings(seen: NodeReport) -> Iterator[Finding]:
    """Judge a server by its own report; its replicas are judged elsewhere."""
    yield _round_trip(seen.trip_ms)
    yield _clock(seen.offset_ms)
    yield _version(seen)
    yield from _unseen(seen)
    if seen.info is not None:
        yield _eviction(seen.info)
        yield from _memory(seen.info)
        yield from _clients(seen.info)
        yield _persistence(seen.info, seen.config)
        yield from _last_writes(seen.info)
    yield from _held_up(seen)
    if seen.scripts is not None:
        what = f"{seen.scripts} of {len(names())} scripts are in the script cache"
        yield Finding("ok", "scripts", what, "the others are loaded on first use")


def _round_trip(trip: float) -> Finding:
    what = f"a round trip takes {trip:.2f} ms"
    if trip < _SLOW_TRIP_MS:
        return Finding("ok", "connection", what)
    means = "lower throughput; no guarantee is affected"
    return Finding("warning", "connection", what, means, "run the daemon near the server")


def _clock(offset: float) -> Finding:
    if abs(offset) < _CLOCK_MS:
        return Finding("ok", "clock", f"clocks differ by {abs(offset):.0f} ms")
    side = "ahead of" if offset > 0 else "behind"
    what = f"the server's clock is {duration(offset)} {side} this machine's"
    means = (
        "the server's clock decides what is due, so due_at and expires_at are shifted by this much"
    )
    todo = "synchronise both clocks (NTP)"
    return Finding("warning", "clock", what, means, todo, EARLY)


def _version(seen: NodeReport) -> Finding:
    name = f"{seen.server.flavour} {seen.server.version}"
    number = tuple(int(part) for part in seen.server.version.split(".")[:2] if part.isdigit())
    if number < _OLDEST:
        means, todo = "scripts use commands that it does not support", "use Redis 6.2 or newer"
        return Finding("error", "version", f"{name} is too old", means, todo, AVAILABILITY)
    return Finding("ok", "version", name)


def _unseen(seen: NodeReport) -> Iterator[Finding]:
    if not seen.unseen:
        return
    topics = "; ".join(_TOPICS[command] for command in seen.unseen)
    commands = chain.from_iterable(_COMMANDS.get(one, [one]) for one in seen.unseen)
    what = f"not checked: no reply to {', '.join(seen.unseen)}"
    means = f"{topics}: unknown, this user has no permission"
    todo = f"as an administrator: {', '.join(f'`redis-cli {command}`' for command in commands)}"
    yield Finding("unknown", "unseen", what, means, todo)


def _missing_field(check: str, field: str) -> Finding:
    todo = f"check the server: its INFO has no {field}"
    return Finding("unknown", check, f"INFO has no {field}", "it cannot be checked", todo)


def _eviction(info: Fields) -> Finding:
    policy = info.get("maxmemory_policy")
    if not policy:
        return _missing_field("eviction", "maxmemory_policy")
    if policy == "noeviction":
        return Finding("ok", "eviction", "maxmemory-policy is noeviction")
    limited = info.get("maxmemory", "0") != "0"
    what = f"maxmemory-policy is {policy}"
    means = (
        "at maxmemory Redis silently deletes accepted notifications"
        if limited
        else "no maxmemory is set; once it is, accepted notifications may be deleted"
    )
    todo = "CONFIG SET maxmemory-policy noeviction, and the same in its configuration"
    return Finding("error" if limited else "warning", "eviction", what, means, todo, LOST)


def _memory(info: Fields) -> Iterator[Finding]:
    if "used_memory" not in info:
        yield _missing_field("memory", "used_memory")
        return
    used, limit, owner = number_of(info, "used_memory"), number_of(info, "maxmemory"), "maxmemory"
    if not limit:
        limit, owner = (
            number_of(info, "total_system_memory"),
            "the host's memory (no maxmemory is set)",
        )
    if not limit:
        return
    share = used / limit
    what = f"{min(share, 1):.0%} of {owner} is used"
    if share < _FULL:
        yield Finding("ok", "memory", what)
        return
    risk: Guarantee = AVAILABILITY
    means = "when it is full, nothing is accepted or published until memory is free"
    if owner != "maxmemory":
        risk = LOST
        means = "when it is full, the kernel kills Redis, and unsaved writes are lost"
    todo = "raise maxmemory, lower retention.settled_ms and gateway.max_len, or purge dead letters"
    yield Finding("warning" if share < 1 else "error", "memory", what, means, todo, risk)


def _clients(info: Fields) -> Iterator[Finding]:
    used, most = number_of(info, "connected_clients"), number_of(info, "maxclients")
    if most and used >= _FULL * most:
        what = f"{used:,} of {most:,} connections are in use"
        means = "when all are used, new connections of daemons, producers and consumers are refused"
        todo = "raise maxclients, or find the clients that hold them: CLIENT LIST"
        yield Finding("warning", "clients", what, means, todo, AVAILABILITY)


def _persistence(info: Fields, config: Fields) -> Finding:
    if info.get("aof_enabled") == "1":
        fsync = config.get("appendfsync", "")
        if fsync == "no":
            what = "the append-only file is on, but appendfsync is no"
            means = "a power loss may take the last 30 s of what was accepted or published"
            todo = "CONFIG SET appendfsync everysec, and the same in its configuration"
            return Finding("warning", "persistence", what, means, todo, LOST)
        what = f"append-only file{f', fsync {fsync}' * bool(fsync)}"
        means = "a power loss takes about the last second" if fsync == "everysec" else ""
        return Finding("ok", "persistence", what, means)
    if "aof_enabled" not in info:
        return _missing_field("persistence", "aof_enabled")
    snapshots = config.get("save")
    lost = "everything" if snapshots == "" else "everything since the last snapshot"
    lost += ", or everything where none is made," if snapshots is None else ""
    what = "the append-only file is off"
    means = f"when Redis or its host ends unexpectedly, {lost} is lost, accepted or not"
    todo = "CONFIG SET appendonly yes, and the same in its configuration"
    return Finding("warning", "persistence", what, means, todo, LOST)


def _last_writes(info: Fields) -> Iterator[Finding]:
    for field, writing in (
        ("aof_last_write_status", "writing the append-only file"),
        ("aof_last_bgrewrite_status", "the last rewrite of the append-only file"),
        ("rdb_last_bgsave_status", "the last snapshot"),
    ):
        if info.get(field, "ok") != "ok":
            what = f"{writing} failed"
            means = "Redis may refuse all writes (MISCONF), and accepted writes may be lost"
            todo = "see the server's log; most often the disk is full"
            yield Finding("error", "persistence", what, means, todo, LOST)


def _held_up(seen: NodeReport) -> Iterator[Finding]:
    means = "the server was blocked meanwhile: routes due then were late"
    worst = _worst(seen.slow)
    if worst:
        what = f"{worst.what} took {worst.took_ms:,.0f} ms, {duration(worst.ago_s * 1000)} ago"
        todo = "find the client that sends it: SLOWLOG GET"
        yield Finding("warning", "slow", what, means, todo, AVAILABILITY)
    spike = _worst(seen.spikes)
    if spike:
        what = f"latency event {spike.what}: up to {spike.took_ms:,.0f} ms"
        todo = "LATENCY DOCTOR; fork: memory and huge pages, aof-*: the disk"
        yield Finding("warning", "slow", what, means, todo, AVAILABILITY)
    if not worst and not spike and "SLOWLOG GET" not in seen.unseen:
        yield Finding("ok", "slow", f"no command took {_SLOW_CALL_MS} ms or more in the last hour")


def _worst(seen: Sequence[Slow]) -> Slow | None:
    recent = [one for one in seen if one.ago_s < _RECENT_S and one.took_ms >= _SLOW_CALL_MS]
    return max(recent, key=lambda one: one.took_ms, default=None)


def number_of(fields: Fields, name: str) -> int:
    """Return a number that a server reports, 0 where it does not."""
    text = fields.get(name, "")
    return int(text) if text.isdigit() else 0
