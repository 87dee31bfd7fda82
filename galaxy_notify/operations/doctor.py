"""What endangers the guarantees of a deployment, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from galaxy_notify.errors import ConfigurationError, GalaxyNotifyError
from galaxy_notify.operations import (
    deployment_checks,
    feed_checks,
    gateway_checks,
    node_checks,
    replication_checks,
    scale_checks,
    work_checks,
)
from galaxy_notify.operations.finding import AVAILABILITY, Finding
from galaxy_notify.operations.refusal import refusal
from galaxy_notify.operations.status import read_status
from galaxy_notify.redis_client.faults import Fault, RedisFault
from galaxy_notify.redis_inspect import node_report
from galaxy_notify.redis_inspect.gateways import read_lost_gateways
from galaxy_notify.redis_inspect.node_report import Node, NodeReport
from galaxy_notify.redis_inspect.pace import read_marks, read_pace
from galaxy_notify.redis_inspect.readers import read_readers
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.permissions import refused_commands
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.settings import Settings

#: Who cannot return whether Redis takes writes.
_WITHOUT_WRITES: Final = (Role.CONSUMER, Role.READER)
_AWAY: Final = frozenset({"connection", "timeout"})


def examine(deployment: Deployment, settings: Settings) -> Iterator[Finding]:
    """Find what endangers the guarantees, finding by finding; raise `RedisFault` without Redis."""
    yield from _nodes(node_report.nodes_of(deployment), settings.redis.durability)
    yield from replication_checks.sentinel_findings(node_report.read_sentinels(deployment))
    yield from deployment_checks.guard_findings(deployment)  # before rights are tried on these keys
    refused = refused_commands(deployment)
    yield deployment_checks.permission_finding(refused)
    if refused.role not in _WITHOUT_WRITES:
        yield deployment_checks.write_finding(deployment)
        if slow := deployment_checks.disk_finding(deployment, settings.redis.durability):
            yield slow
    yield from deployment_checks.agreement_findings(
        deployment.shared, SharedSettings.from_settings(settings)
    )
    yield from feed_checks.channel_findings(settings, deployment.shared)
    yield from _state(deployment, settings, refused.role)


def _state(deployment: Deployment, settings: Settings, role: Role) -> Iterator[Finding]:
    """Judge what the indexes hold, who works, and who reads."""
    try:
        status = read_status(deployment, has_feed=bool(settings.feed.url))
        groups = [(stream.key, name) for stream in status.streams for name in stream.groups]
        readers = read_readers(deployment, groups)
        marked = [(stream.shard, name) for stream in status.streams for name in stream.groups]
        pace, marks = read_pace(deployment), read_marks(deployment, marked)
        lost = read_lost_gateways(deployment, status.at_ms)
    except RedisFault as fault:
        if fault.fault.code in _AWAY:
            raise
        yield _unread(fault.fault)
        return
    if role in _WITHOUT_WRITES:
        yield from work_checks.refusal_findings(status)
    yield from work_checks.server_findings(status)
    yield from work_checks.worker_findings(status)
    yield from work_checks.backlog_findings(status)
    yield from work_checks.stream_findings(status, readers)
    yield from gateway_checks.gateway_findings(status, lost)
    yield from gateway_checks.realtime_findings(
        settings.realtime, deployment.shared.channels, has_gateways=bool(status.gateways)
    )
    yield from feed_checks.feed_findings(status, settings.feed)
    yield from scale_checks.scale_findings(status, deployment.shared, pace, marks)


def unreachable(error: GalaxyNotifyError) -> Finding:
    """Return the finding for a deployment that cannot be opened."""
    text = refusal(error.fault) if isinstance(error, RedisFault) else str(error)
    if isinstance(error, ConfigurationError):
        means = "the daemon and producers with these settings refuse to work"
        todo = "`galaxy-notify config show`"
        return Finding("error", "settings", text, means, todo, AVAILABILITY)
    check = "connection"
    if isinstance(error, RedisFault) and error.fault.code == "NOPERM":
        check = "permissions"
    means = "nothing is accepted or published; accepted notifications wait"
    todo = (
        "check redis.url, redis.username and the password (`galaxy-notify config show`), the "
        "user's permissions, and that the server runs"
    )
    return Finding("error", check, text, means, todo, AVAILABILITY)


def _unread(fault: Fault) -> Finding:
    what = f"the indexes cannot be read: {refusal(fault)}"
    if fault.code != "NOPERM":
        return Finding("error", "status", what)
    means = "backlog, workers and consumer groups are unknown"
    return Finding("unknown", "status", what, means, "run doctor as galaxy-notify-operator")


def _nodes(nodes: Sequence[Node], durability: str) -> Iterator[Finding]:
    seen: list[NodeReport] = []
    for node in nodes:
        try:
            report = node_report.read_node(node.client)
        except RedisFault as fault:
            if len(nodes) == 1:
                raise
            yield replace(unreachable(fault), node=node.name)
            continue
        seen.append(report)
        found = [
            *node_checks.node_findings(report),
            *replication_checks.replication_findings(report, durability),
        ]
        yield from (replace(finding, node=node.name) for finding in found)
    if any(one.cluster is not None or one.slots is not None for one in seen):
        yield from replication_checks.cluster_findings(seen[0].cluster, seen[0].slots)
    yield from replication_checks.together_findings(
        [one.offset_ms for one in seen], [one.server.version for one in seen]
    )
