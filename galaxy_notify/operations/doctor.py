"""What endangers the guarantees of a deployment, and what to do about each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import fields
from statistics import median
from typing import Final

from galaxy_notify.errors import ConfigurationError, GalaxyNotifyError
from galaxy_notify.model.wording import duration
from galaxy_notify.operations.finding import Finding
from galaxy_notify.operations.health import LATEST_MS, write_round_trip
from galaxy_notify.operations.refusal import refusal
from galaxy_notify.operations.server_checks import server_findings
from galaxy_notify.operations.status import Status, read_status
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.permissions import Refused, refused_commands
from galaxy_notify.redis_state.place import Place
from galaxy_notify.redis_state.reading import server_now
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.runner import RedisFault
from galaxy_notify.redis_state.servers import read_config, read_info, read_server_name
from galaxy_notify.settings import Settings

_PINGS: Final = 7
_SLOW_MS: Final = 20.0
_CLOCK_MS: Final = 1000
#: Who cannot tell whether Redis takes writes.
_WITHOUT_WRITES: Final = (Role.CONSUMER, Role.READER)
_SECTIONS: Final = ("memory", "persistence", "replication")


def examine(place: Place, settings: Settings) -> Iterator[Finding]:
    """Find what endangers the guarantees, finding by finding; raise `RedisFault` without Redis."""
    yield from _connection(place)
    info, config = read_info(place, *_SECTIONS), read_config(place, "appendfsync", "save")
    yield from server_findings(read_server_name(place), info, config)
    refused = refused_commands(place)
    yield _permissions(refused)
    if refused.role not in _WITHOUT_WRITES:
        yield _write(place)
    yield from _agreement(place.deployment, Deployment.from_settings(settings))
    try:
        status = read_status(place)
    except RedisFault as fault:
        yield Finding("error", "status", f"the indexes cannot be read: {refusal(fault.fault)}")
        return
    yield from _work(status)
    yield from _streams(status)


def unreachable(error: GalaxyNotifyError) -> Finding:
    """Return the finding for a deployment that cannot be opened."""
    text = refusal(error.fault) if isinstance(error, RedisFault) else str(error)
    if isinstance(error, ConfigurationError):
        means = "the daemon and producers with these settings refuse to work"
        return Finding("error", "settings", text, means, "`galaxy-notify config show`")
    check = "connection"
    if isinstance(error, RedisFault) and error.fault.code == "NOPERM":
        check = "permissions"
    return Finding(
        "error",
        check,
        text,
        "nothing is accepted or published; what was accepted before waits",
        "look at redis.url, redis.username and the password (`galaxy-notify config show`), at"
        " what the user may do, and whether the server runs",
    )


def _connection(place: Place) -> Iterator[Finding]:
    trips, offsets = [], []
    for _ in range(_PINGS):
        before = time.time_ns() / 1e6
        now_ms = server_now(place)
        after = time.time_ns() / 1e6
        trips.append(after - before)
        offsets.append(now_ms - (before + after) / 2)
    trip, offset = median(trips), median(offsets)
    yield _round_trip(trip)
    yield _clock(offset)


def _round_trip(trip: float) -> Finding:
    what = f"a round trip takes {trip:.2f} ms"
    if trip < _SLOW_MS:
        return Finding("ok", "connection", what)
    means = "fewer notifications a second; no guarantee is affected"
    return Finding("warning", "connection", what, means, "run the daemon near the server")


def _clock(offset: float) -> Finding:
    if abs(offset) < _CLOCK_MS:
        return Finding("ok", "clock", f"clocks differ by {abs(offset):.0f} ms")
    side = "ahead of" if offset > 0 else "behind"
    return Finding(
        "warning",
        "clock",
        f"the server's clock is {duration(offset)} {side} this machine's",
        "what is due is decided by the server's clock, so due_at and expires_at come out shifted",
        "synchronise both clocks (NTP)",
    )


def _permissions(refused: Refused) -> Finding:
    role = refused.role
    missing = refused.of(role)
    if missing:
        return Finding(
            "error",
            "permissions",
            f"this user may not {missing}",
            f"it has the rights of a {role} otherwise; what needs these fails, perhaps half-way",
            f"ACL SETUSER … {missing.rules}",
        )
    if refused:
        return Finding("ok", "permissions", f"this user may do what a {role} does, and not all")
    return Finding("ok", "permissions", "every command that is needed is allowed")


def _write(place: Place) -> Finding:
    try:
        seconds = write_round_trip(place)
    except RedisFault as fault:
        return Finding(
            "error",
            "write",
            f"a writing script failed: {refusal(fault.fault)}",
            "nothing is accepted, published or cancelled; what was accepted waits",
            "see the message; OOM: memory, MISCONF: disk, READONLY: a replica, NOPERM: +evalsha"
            " +script|load",
        )
    return Finding("ok", "write", f"a writing script took {seconds * 1000:.1f} ms")


def _agreement(held: Deployment, mine: Deployment) -> Iterator[Finding]:
    differing = [
        f"{field.name} is {_shown(getattr(held, field.name))}, here"
        f" {_shown(getattr(mine, field.name))}"
        for field in fields(Deployment)
        if getattr(held, field.name) != getattr(mine, field.name)
    ]
    if not differing:
        yield Finding("ok", "settings", "the settings agree with the deployment")
        return
    yield Finding(
        "warning",
        "settings",
        f"the deployment has other settings than this machine: {'; '.join(differing)}",
        "what the daemon was started with last holds for producers and consumers",
        "use one settings file everywhere, and restart the daemon after a change",
    )


def _shown(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value) or "unset"


def _work(status: Status) -> Iterator[Finding]:
    versions = sorted({worker.version for worker in status.workers})
    if not status.workers:
        todo = "start `galaxy-notify run`"
        yield Finding("warning", "workers", "no worker is alive", "nothing is published", todo)
    elif len(versions) > 1:
        what = f"workers of versions {', '.join(versions)} are at work"
        yield Finding("warning", "workers", what, "fine for the time of an upgrade", "finish it")
    else:
        yield Finding("ok", "workers", f"{len(status.workers)} alive, version {versions[0]}")
    for name, backlog in status.channels.items():
        late = backlog.oldest_overdue_ms
        if late > LATEST_MS:
            what = f"channel {name}: {backlog.overdue:,} overdue, the oldest by {duration(late)}"
            todo = "`galaxy-notify status`, and `show ID` for one of them"
            if backlog.paused:
                todo = f"it is paused: `galaxy-notify resume {name}`"
            yield Finding("warning", "lateness", what, "they are published late", todo)
        if backlog.dead:
            what = f"channel {name}: {backlog.dead:,} dead letters"
            todo = "`galaxy-notify dead stats`, then replay or purge them"
            yield Finding("warning", "dead", what, "they rest until somebody decides", todo)


def _streams(status: Status) -> Iterator[Finding]:
    for stream in status.streams:
        if stream.fault:
            what = f"stream {stream.key} takes nothing: {stream.fault}"
            todo = "name a key of its own as gateway.stream, or mend the key"
            yield Finding(
                "error", "stream", what, "nothing is published; no attempt is spent", todo
            )
        elif stream.holding:
            what = f"stream {stream.key} holds at {stream.length:,} entries"
            todo = "start its readers, or `galaxy-notify stream drop-group GROUP`"
            yield Finding("error", "stream", what, "nothing is published until they read", todo)
        for name, group in stream.groups.items():
            if group["lost"]:
                what = f"group {name} lost {group['lost']:,} entries of {stream.key} to trimming"
                todo = "raise gateway.max_len or gateway.group_idle_ms"
                yield Finding("warning", "stream", what, "its users missed these", todo)
        if not stream.groups and stream.length:
            what = f"no group reads {stream.key}"
            means = "beyond max_len the oldest entries go, read or not"
            yield Finding("warning", "stream", what, means, "read it with a consumer group")
