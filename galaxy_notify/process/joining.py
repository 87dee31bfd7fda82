"""The start of a process: its rights, and its agreement with the deployment."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

import redis.asyncio
from structlog.typing import FilteringBoundLogger

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.process.supervisor import Pulse, Supervisor
from galaxy_notify.redis_client.access import user_name
from galaxy_notify.redis_client.durability import Confirm
from galaxy_notify.redis_client.failed_calls import failed_call
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.nodes import at_shard, node_of, refresh_primary
from galaxy_notify.redis_state.deployment import Deployment, Layout
from galaxy_notify.redis_state.joining import check_durability, join_deployment
from galaxy_notify.redis_state.permissions import check_rights
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.outage import EdgeLog

# A start while Redis is away makes two connections a second at most, as an outage later does.
_PAUSE_S: Final = 0.6
_SLICE_S: Final = 0.1
_ME: Final = -1


class Joining:
    """Agrees with the deployment, however long Redis is away."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        settings: Settings,
        telemetry: Telemetry,
        supervisor: Supervisor,
        pulse: Pulse,
    ) -> None:
        self._client = client
        self._settings = settings
        self._telemetry = telemetry
        self._supervisor = supervisor
        self._pulse = pulse

    async def run(self, role: Role, stop: asyncio.Event, log: FilteringBoundLogger) -> bool:
        """Join, a daemon as its leader; False when stopped before. Raises `ConfigurationError`."""
        edge, backoff = EdgeLog(log), OutageBackoff()
        while not stop.is_set():
            self._pulse.progressed(_ME)
            try:
                await self._join(role)
            except RedisFault as error:
                if error.fault.is_permanent:
                    raise failed_call(error) from error
                edge.down(error.fault.code, error.fault.reason)
                self._telemetry.redis_error(error.fault.code)
                self._supervisor.status(f"waiting for redis: {error.fault.code}")
                if error.fault.remedy is Remedy.RESOLVE:
                    await refresh_primary(self._client)
                await self._pause(max(_PAUSE_S, backoff.next() / 1000), stop)
            else:
                edge.up()
                break
        self._pulse.forget(_ME)
        return not stop.is_set()

    async def _join(self, role: Role) -> None:
        own, mine = self._settings.redis, Deployment.from_settings(self._settings)
        layout, user = Layout(own.prefix, mine), user_name(self._settings)
        await check_rights(self._client, layout.keys(0), role, user)
        await join_deployment(self._client, own.prefix, mine, lead=role is Role.DAEMON)
        by_node = {node_of(at_shard(self._client, keys.tag)): keys for keys in layout.all_keys}
        for keys in by_node.values():
            await check_durability(self._client, keys, Confirm.of(own.durability))

    async def _pause(self, seconds: float, stop: asyncio.Event) -> None:
        end = monotonic() + seconds
        while not stop.is_set() and (left := end - monotonic()) > 0:
            self._pulse.progressed(_ME)
            await asyncio.sleep(min(left, _SLICE_S))
