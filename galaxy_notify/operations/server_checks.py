"""What of the server itself endangers the guarantees: version, role, memory, persistence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from galaxy_notify.operations.finding import Finding
from galaxy_notify.redis_state.servers import ServerName

_OLDEST: Final = (6, 2)
_FULL_GROUPS: Final = (7, 0)
_FULL: Final = 0.8
Told = Mapping[str, str]


def server_findings(server: ServerName, info: Told | None, config: Told) -> Iterator[Finding]:
    """Judge the server by what it tells of itself."""
    yield _version(server)
    yield _role(server)
    if info is None:
        yield Finding(
            "warning",
            "info",
            "this user may not run INFO",
            "memory, eviction and persistence cannot be judged",
            "run doctor as a user with +info and +config|get",
        )
        return
    yield _eviction(info)
    yield from _memory(info)
    yield _persistence(info, config)
    yield from _last_writes(info)


def _version(server: ServerName) -> Finding:
    name = f"{server.flavour} {server.version}"
    number = _number(server.version)
    if number < _OLDEST:
        means, todo = "scripts use commands that it does not know", "use Redis 6.2 or newer"
        return Finding("error", "version", f"{name} is too old", means, todo)
    if number < _FULL_GROUPS:
        return Finding(
            "warning",
            "version",
            f"{name} does not count what a group has read",
            "the lag and the loss of groups are unknown; nothing else is affected",
            "use Redis 7.0 or newer, or Valkey",
        )
    return Finding("ok", "version", name)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _role(server: ServerName) -> Finding:
    if server.role == "master":
        return Finding("ok", "role", "this is the primary")
    return Finding(
        "error",
        "role",
        f"this server is a {server.role or 'server of unknown role'}, not the primary",
        "nothing can be accepted or published through it",
        "point redis.url at the primary",
    )


def _eviction(info: Told) -> Finding:
    policy = info.get("maxmemory_policy", "")
    if policy == "noeviction":
        return Finding("ok", "eviction", "maxmemory-policy is noeviction")
    limited = info.get("maxmemory", "0") != "0"
    return Finding(
        "error" if limited else "warning",
        "eviction",
        f"maxmemory-policy is {policy or 'unknown'}",
        "at maxmemory Redis deletes notifications that were accepted, without a word"
        if limited
        else "no maxmemory is set; once it is, accepted notifications may be deleted",
        "CONFIG SET maxmemory-policy noeviction, and the same in its configuration",
    )


def _memory(info: Told) -> Iterator[Finding]:
    used, limit = _int(info, "used_memory"), _int(info, "maxmemory")
    if not limit:
        return
    share = used / limit
    what = f"{min(share, 1):.0%} of maxmemory is used"
    if share < _FULL:
        yield Finding("ok", "memory", what)
        return
    yield Finding(
        "warning" if share < 1 else "error",
        "memory",
        what,
        "when it is full, nothing is accepted or published until there is room",
        "raise maxmemory, lower retention.settled_ms and gateway.max_len, or purge dead letters",
    )


def _persistence(info: Told, config: Told) -> Finding:
    if info.get("aof_enabled") == "1":
        fsync = config.get("appendfsync", "")
        if fsync == "no":
            return Finding(
                "warning",
                "persistence",
                "the append-only file is on, but appendfsync is no",
                "a power loss may take the last 30 s of what was accepted",
                "CONFIG SET appendfsync everysec",
            )
        return Finding("ok", "persistence", f"append-only file{f', fsync {fsync}' * bool(fsync)}")
    snapshots = config.get("save") != "" if "save" in config else True
    lost = "all since the last snapshot" if snapshots else "everything"
    return Finding(
        "warning",
        "persistence",
        "the append-only file is off",
        f"when Redis or its host ends unexpectedly, {lost} is lost, accepted or not",
        "CONFIG SET appendonly yes, and the same in its configuration",
    )


def _last_writes(info: Told) -> Iterator[Finding]:
    for field, what in (
        ("aof_last_write_status", "writing the append-only file"),
        ("rdb_last_bgsave_status", "the last snapshot"),
    ):
        if info.get(field, "ok") != "ok":
            yield Finding(
                "error",
                "persistence",
                f"{what} failed",
                "Redis may refuse all writes (MISCONF), and what it takes may not last",
                "see the server's log; most often the disk is full",
            )


def _int(info: Told, name: str) -> int:
    text = info.get(name, "0")
    return int(text) if text.isdigit() else 0
