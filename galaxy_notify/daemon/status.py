"""The state of the daemon's shards: one line for systemd, gauges for metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from galaxy_notify.daemon.shard import Shard
from galaxy_notify.errors import GalaxyNotifyError
from galaxy_notify.process.supervisor import Supervisor
from galaxy_notify.publishing.state import PublisherState
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_inspect.gauges import read_gauges
from galaxy_notify.telemetry import Snapshot

_EVERY_S: Final = 10.0
_TROUBLED_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class StatusLine:
    """Reads the gauges of all shards periodically and reports them."""

    publisher: PublisherState
    shards: Sequence[Shard]
    supervisor: Supervisor
    revive: Callable[[], object] | None

    async def run(self, stop: asyncio.Event) -> None:
        """Report every ten seconds, until stopped."""
        stopped = asyncio.create_task(stop.wait())
        while not stop.is_set():
            await self.run_once()
            pause_s = _TROUBLED_S if self._redis_is_away() else _EVERY_S
            await asyncio.wait({stopped}, timeout=pause_s)

    async def run_once(self) -> None:
        """Read all shards once and report."""
        # A shard that cannot be read is not shown: an old number would look current.
        seen = Snapshot()
        unread: set[str] = set()
        for shard in self.shards:
            if not shard.state.health.redis_is_away:
                try:
                    seen |= await self._read(shard)
                except RedisFault as error:
                    unread.add(f"redis: {error.fault.code}")
        self.publisher.telemetry.observe(seen)
        reasons = {shard.state.health.reason for shard in self.shards} - {""}
        troubles = reasons | unread | self._standstills(seen)
        counts = [_line(seen)] if len(seen.streams) == len(self.shards) else []
        self.supervisor.status("; ".join([*sorted(troubles), *counts]))
        if self.revive is not None and self._redis_is_away():
            try:
                await asyncio.to_thread(self.revive)
            except (GalaxyNotifyError, OSError) as error:
                self.supervisor.status(f"embedded server: {error}")

    async def _read(self, shard: Shard) -> Snapshot:
        try:
            return await read_gauges(shard.client, shard.state.keys, shard.state.channels)
        except RedisFault as error:
            if error.fault.remedy is Remedy.RESOLVE:
                await refresh_primary(shard.client)
            raise

    def _standstills(self, seen: Snapshot) -> set[str]:
        """Return what blocks publishing although Redis answers."""
        gateway = self.publisher.settings.gateway
        limit = 2 * gateway.max_len if gateway.trim == "acknowledged" else inf
        holds = {
            f"stream of shard {shard} is full: its groups must read"
            for shard, length in seen.streams.items()
            if length >= limit
        }
        return holds | {
            f"channel {name} is paused"
            for (_, name), backlog in seen.backlogs.items()
            if backlog.paused
        }

    def _redis_is_away(self) -> bool:
        return any(shard.state.health.redis_is_away for shard in self.shards)


def _line(seen: Snapshot) -> str:
    backlogs = seen.backlogs.values()
    counts = {
        "published": sum(n for (_, outcome), n in seen.totals.items() if outcome == "published"),
        "scheduled": sum(backlog.scheduled for backlog in backlogs),
        "overdue": sum(backlog.overdue for backlog in backlogs),
        "dead": sum(backlog.dead for backlog in backlogs),
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items())
