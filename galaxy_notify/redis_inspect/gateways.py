"""The gateway processes that reported themselves, and how far their consumer group is behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from galaxy_notify.redis_client.flows import unwrap_or
from galaxy_notify.redis_client.replies import moment, number, pairs, text
from galaxy_notify.redis_inspect.servers import WorkerState, progress_state
from galaxy_notify.redis_inspect.stream import StreamReport
from galaxy_notify.redis_state.deployment import Deployment, read_all, try_all
from galaxy_notify.redis_state.gateways import GATEWAY_KEPT_MS, REALTIME_GROUP
from galaxy_notify.redis_state.group_report import order_of
from galaxy_notify.redis_state.keys import inbox_key

#: A gateway reports its progress every few seconds.
SILENT_MS: Final = 15_000
_MOST_GATEWAYS: Final = 1000
#: One that reads has far fewer entries before it; from 10,000 on the oldest are cut off.
_MUCH_UNREAD: Final = 1000
#: The owner of an inbox cuts off what it has read but for the last entry.
_READ: Final = 1


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway process as it reported itself.

    ``connections`` are its open streams, of so many ``users``. ``lag`` counts the entries of its
    inbox that it has not read; they are counted now, also for a process that reports no more.
    ``state`` is ``working`` or ``silent``; ``stopped`` (by a signal) and ``gone`` are seen only
    from its own machine.
    """

    id: str
    connections: int
    users: int
    lag: int
    host: str = ""
    pid: int = 0
    version: str = ""
    started_ms: int = 0
    progress_ms: int = 0
    consumes: bool = True
    serves: bool = True
    state: WorkerState = "working"

    @property
    def is_behind(self) -> bool:
        """Return whether its inbox grows faster than it reads."""
        return self.lag > _MUCH_UNREAD

    @property
    def is_alive(self) -> bool:
        """Return whether its process is not known to have ended."""
        return self.state != "gone"


@dataclass(frozen=True, slots=True)
class LostGateway:
    """A gateway that has reported within an hour, not within 60 s, and did not end properly."""

    id: str
    progress_ms: int


def read_gateways(deployment: Deployment, now_ms: int) -> list[Gateway]:
    """Return the gateways that reported within 60 s, by id; raise `RedisFault`."""
    names = [name for name, _ in _registered(deployment, now_ms)]
    reports, lengths = _reports(deployment, names), _inbox_lengths(deployment, names)
    found = (
        _gateway(name, reported, length, now_ms)
        for name, reported, length in zip(names, reports, lengths, strict=True)
        if reported
    )
    return sorted(found, key=lambda gateway: gateway.id)


def read_lost_gateways(deployment: Deployment, now_ms: int) -> list[LostGateway]:
    """Return those that stopped reporting without leaving; raise `RedisFault`."""
    registered = _registered(deployment, now_ms)
    reports = _reports(deployment, [name for name, _ in registered])
    return [
        LostGateway(name, progress_ms)
        for (name, progress_ms), reported in zip(registered, reports, strict=True)
        if not reported
    ]


def read_delays(
    deployment: Deployment, streams: Iterable[StreamReport], now_ms: int, name: str = REALTIME_GROUP
) -> Mapping[str, int]:
    """Return how old the oldest event is that a group has not acknowledged, in ms, by stream.

    A stream without the group is missing, and one whose group has nothing to do. Raises
    `RedisFault`.
    """
    delays: dict[str, int] = {}
    for stream in streams:
        group = stream.groups.get(name)
        if group is None or (group["lag"] == 0 and not group["pending"]):
            continue
        pending_s = group["oldest_pending_s"] or 0
        unread_ms = _unread_ms(deployment, stream.key, now_ms, name) if group["lag"] != 0 else 0
        delays[stream.key] = max(round(pending_s * 1000), unread_ms)
    return delays


def _registered(deployment: Deployment, now_ms: int) -> list[tuple[str, int]]:
    """Return the names in the registry with their last progress, the latest first."""
    key = deployment.keys(0).gateways
    (rows,) = try_all(deployment, [["ZRANGE", key, 0, _MOST_GATEWAYS - 1, "REV", "WITHSCORES"]])
    found = ((text(name), moment(score)) for name, score in unwrap_or(rows, []))
    return [(name, at_ms) for name, at_ms in found if at_ms > now_ms - GATEWAY_KEPT_MS]


def _reports(deployment: Deployment, names: Iterable[str]) -> list[dict[str, str]]:
    keys = deployment.keys(0)
    replies = try_all(deployment, (["HGETALL", keys.gateway(name)] for name in names))
    return [
        {text(field): text(value) for field, value in pairs(unwrap_or(reply, {})).items()}
        for reply in replies
    ]


def _inbox_lengths(deployment: Deployment, names: Iterable[str]) -> Iterator[int]:
    prefix = deployment.key_space.prefix
    replies = try_all(deployment, (["XLEN", inbox_key(prefix, name)] for name in names))
    return (unwrap_or(reply, 0) for reply in replies)


def _gateway(name: str, reported: Mapping[str, str], length: int, now_ms: int) -> Gateway:
    pid, progress_ms = number(reported.get("pid")), number(reported.get("progress_ms"))
    silent_ms = now_ms - progress_ms
    return Gateway(
        name,
        number(reported.get("connections")),
        number(reported.get("users")),
        max(0, length - _READ),
        reported.get("host", ""),
        pid,
        reported.get("version", ""),
        number(reported.get("started_ms")),
        progress_ms,
        reported.get("consumes") != "0",
        reported.get("serves") != "0",
        progress_state(pid, reported.get("process", ""), silent=silent_ms > SILENT_MS),
    )


def _unread_ms(deployment: Deployment, stream: str, now_ms: int, name: str) -> int:
    """Return the age of the first event that the group has not been given; 0 without any."""
    (groups,) = read_all(deployment, [["XINFO", "GROUPS", stream]])
    rows: list[dict[bytes, Any]] = [pairs(row) for row in groups]
    for row in rows:
        if text(row[b"name"]) == name:
            after = f"({text(row[b'last-delivered-id'])}"
            (entries,) = read_all(deployment, [["XRANGE", stream, after, "+", "COUNT", 1]])
            return max(0, now_ms - order_of(text(entries[0][0]))[0]) if entries else 0
    return 0
