"""The state of a deployment at one moment: what waits, what is late, who works, who reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from galaxy_notify.operations.refusal import refusal
from galaxy_notify.redis_inspect.external import ExternalChannel, read_external
from galaxy_notify.redis_inspect.feed import FeedState, read_feed
from galaxy_notify.redis_inspect.gateways import Gateway, read_delays, read_gateways
from galaxy_notify.redis_inspect.inspector import ChannelBacklog, read_backlogs
from galaxy_notify.redis_inspect.memory import MemoryUse, read_memory
from galaxy_notify.redis_inspect.node_report import ServerState, read_server_state
from galaxy_notify.redis_inspect.servers import (
    ServerName,
    Worker,
    read_server_name,
    read_totals,
    read_workers,
)
from galaxy_notify.redis_inspect.stream import StreamReport, read_streams
from galaxy_notify.redis_inspect.totals import SKIPPED, TOTALS
from galaxy_notify.redis_state.deployment import Deployment, server_now


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """What holds in a deployment now."""

    at_ms: int
    server: ServerName
    shards: int
    channels: dict[str, ChannelBacklog]
    totals: dict[str, int]
    skipped: dict[str, int]
    streams: list[StreamReport]
    workers: list[Worker]
    redis: ServerState
    #: None where it was not asked for, or where this user may not ask.
    memory: MemoryUse | None = None
    gateways: list[Gateway] = field(default_factory=list)
    #: Stream -> how old the oldest event is that gateways have not acknowledged, in ms.
    gateway_delays: Mapping[str, int] = field(default_factory=dict)
    #: None for a deployment without a feed.
    feed: FeedState | None = None
    #: Those that workers serve now.
    external: Mapping[str, ExternalChannel] = field(default_factory=dict)

    @property
    def alive(self) -> list[Worker]:
        """Return the workers but those whose process is known to have ended."""
        return [worker for worker in self.workers if worker.state != "gone"]

    def as_json(self) -> dict[str, object]:
        """Return what ``status --json`` prints."""
        return {
            "at_ms": self.at_ms,
            "server": {"flavour": self.server.flavour, "version": self.server.version},
            "shards": self.shards,
            "channels": {
                name: _channel(backlog) | _external(self.external.get(name))
                for name, backlog in self.channels.items()
            },
            "totals": self.totals | {f"skipped:{why}": n for why, n in self.skipped.items() if n},
            "streams": {stream.key: _stream(stream) for stream in self.streams},
            "workers": [asdict(worker) for worker in self.workers],
            "gateways": [asdict(gateway) for gateway in self.gateways],
            "feed": self.feed and self.feed.as_json(),
            "redis": {
                "writes": self.redis.writes,
                "refusal": refusal(self.redis.refusal) if self.redis.refusal else None,
                "uptime_s": self.redis.uptime_s,
            },
            "memory": self.memory and self.memory.as_json(),
        }


def read_status(
    deployment: Deployment, *, with_memory: bool = True, has_feed: bool = False
) -> DeploymentStatus:
    """Read the state of a deployment; raise `RedisFault`.

    *has_feed*: the settings say that it has a feed; without them Redis shows whether it has had
    one.
    """
    now_ms = server_now(deployment)
    totals, streams = read_totals(deployment), read_streams(deployment)
    workers = read_workers(deployment, now_ms)
    return DeploymentStatus(
        now_ms,
        read_server_name(deployment),
        deployment.shared.shards,
        read_backlogs(deployment, deployment.shared.channels, now_ms),
        {name: totals.get(name, 0) for name in TOTALS},
        {name.partition(":")[2]: totals.get(name, 0) for name in SKIPPED},
        streams,
        workers,
        read_server_state(deployment),
        read_memory(deployment) if with_memory else None,
        read_gateways(deployment, now_ms),
        read_delays(deployment, streams, now_ms),
        read_feed(deployment, streams, now_ms, is_expected=has_feed),
        read_external(deployment, workers),
    )


def _channel(backlog: ChannelBacklog) -> dict[str, object]:
    return {
        "scheduled": backlog.scheduled,
        "due": backlog.due,
        "overdue": backlog.overdue,
        "oldest_overdue_s": backlog.oldest_overdue_ms / 1000,
        "leased": backlog.leased,
        "dead": backlog.dead,
        "paused": backlog.paused,
        "paused_s": None if backlog.paused_ms is None else backlog.paused_ms / 1000,
        "paused_shards": backlog.paused_shards,
    }


def _external(reported: ExternalChannel | None) -> dict[str, object]:
    return {
        "kind": reported and reported.kind,
        "breakers_open": reported.breakers_open if reported else 0,
    }


def _stream(stream: StreamReport) -> dict[str, object]:
    shown: dict[str, object] = {
        "length": stream.length,
        "max_len": stream.max_len,
        "holding": stream.holding,
        "groups": stream.groups,
        "held_s": None if stream.held_ms is None else stream.held_ms / 1000,
    }
    return shown | ({"error": stream.fault} if stream.fault else {})
