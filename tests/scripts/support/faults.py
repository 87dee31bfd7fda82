"""Faults of a shard, read and judged as fsck does, at the shard's own time."""

from __future__ import annotations

from dataclasses import replace

from galaxy_notify.fsck.notifications import SeenNotification, read_notifications
from galaxy_notify.fsck.routes import SeenRoute, Wanted, read_routes
from galaxy_notify.fsck.rules import judge
from galaxy_notify.redis_client.flows import run_flow_sync
from tests.scripts.support.shard import Shard

ACTOR = "cli:ann@desk"


def seen_of(shard: Shard, *members: str, channel: str = "push") -> list[SeenRoute]:
    """Read members in the indexes of a channel."""
    names = [member.encode() for member in members]
    seen = run_flow_sync(shard.client, read_routes(shard.keys, channel, names))
    return [replace(one, now_ms=shard.now) for one in seen]


def faults_of(shard: Shard, *members: str, channel: str = "push") -> list[tuple[SeenRoute, Wanted]]:
    """Return members, each of which has a fault, with what would mend it."""
    found = []
    for seen in seen_of(shard, *members, channel=channel):
        verdict = judge(seen, ACTOR)
        assert verdict is not None, seen
        found.append((seen, verdict.wanted))
    return found


def counted(shard: Shard, *names: str) -> list[SeenNotification]:
    """Read notifications as fsck counts them."""
    return run_flow_sync(shard.client, read_notifications(shard.keys, names))
