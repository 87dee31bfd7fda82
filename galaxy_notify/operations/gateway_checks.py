"""Whether users get their events in real time: gateways, their inboxes, and their settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from galaxy_notify.model.wording import duration
from galaxy_notify.operations.alarms import alarms
from galaxy_notify.operations.finding import AVAILABILITY, Finding
from galaxy_notify.operations.status import DeploymentStatus
from galaxy_notify.redis_inspect.gateways import LostGateway
from galaxy_notify.settings.realtime import RealtimeSettings

#: A client that lost its network, or whose gateway was replaced, may need as long to come back.
_AWAY_MS: Final = 60_000
_LATER: Final = "users see events late, or when they connect again"


def gateway_findings(status: DeploymentStatus, lost: Sequence[LostGateway]) -> Iterator[Finding]:
    """Judge the gateways; *lost* ones have stopped reporting. A deployment needs none."""
    found = [alarm for alarm in alarms(status) if alarm.kind == "gateways"]
    for alarm in found:
        yield Finding("warning", "gateways", alarm.what, _LATER, alarm.todo, AVAILABILITY)
    for gateway in lost:
        since = duration(status.at_ms - gateway.progress_ms)
        what = f"gateway {gateway.id} stopped reporting {since} ago and did not end properly"
        means = "its users had to connect again; this is forgotten after an hour"
        todo = "see its log: it was killed, crashed, or cannot reach Redis"
        yield Finding("warning", "gateways", what, means, todo, AVAILABILITY)
    if not found and not lost and status.gateways:
        users = sum(gateway.users for gateway in status.gateways)
        connections = sum(gateway.connections for gateway in status.gateways)
        what = f"{len(status.gateways)} alive, connections: {connections:,}, users: {users:,}"
        yield Finding("ok", "gateways", what)
    versions = sorted({gateway.version for gateway in status.gateways})
    if len(versions) > 1:
        what = f"gateways run versions {', '.join(versions)}"
        yield Finding("warning", "gateways", what, "normal during an upgrade", "finish the upgrade")


def realtime_findings(
    realtime: RealtimeSettings, channels: Sequence[str], *, has_gateways: bool
) -> Iterator[Finding]:
    """Judge the settings of the gateway against the channels of the deployment."""
    unknown = [name for name in realtime.channels if name not in channels]
    known = [name for name in realtime.channels if name in channels]
    is_chosen = "channels" in realtime.model_fields_set
    # One of the defaults may be missing: a deployment need not have both.
    if unknown and (is_chosen or (has_gateways and not known)):
        what = f"realtime.channels: {', '.join(unknown)} not in worker.channels"
        means = "ignored: " + (
            "users see the events of the other channels" if known else "users see no events"
        )
        todo = f"correct the name, or add it to worker.channels ({', '.join(channels)})"
        yield Finding("warning", "gateways", what, means, todo)
    if realtime.history_ms < _AWAY_MS:
        what = f"realtime.history_ms is {realtime.history_ms:,}"
        means = (
            "clients that are away for longer get a reset instead of what they missed, and a new "
            "group of gateways skips events that are older"
        )
        todo = f"set it to {_AWAY_MS} or more"
        yield Finding("warning", "gateways", what, means, todo)
