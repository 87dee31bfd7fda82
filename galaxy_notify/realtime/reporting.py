"""What a gateway process reports of itself, every few seconds: to the registry and its gauges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from galaxy_notify.redis_client.async_retries import StopFlag
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.gateways import GatewayRegistry
from galaxy_notify.redis_state.inbox import Inbox
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

_REPORT_S: Final = 5.0


class Served(Protocol):
    """Those who are served: the number of streams."""

    def __len__(self) -> int: ...
    @property
    def users(self) -> int:
        """How many users they belong to."""


class Reporting:
    """Keeps the entry of this process in the registry for as long as `run` runs."""

    def __init__(
        self,
        registry: GatewayRegistry,
        inbox: Inbox,
        connections: Served,
        telemetry: Telemetry,
        show: Callable[[str], object] = str,
    ) -> None:
        """Prepare; *show* takes a line of status for the supervisor, where there is one."""
        self._registry = registry
        self._inbox = inbox
        self._connections = connections
        self._telemetry = telemetry
        self._show = show
        self._stop = StopFlag()
        self._edges = EdgeLog(get_logger("realtime"))

    async def write(self) -> None:
        """Report once; raise `RedisFault`."""
        await self._registry.report(len(self._connections), self._connections.users)

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()

    async def run(self) -> None:
        """Report until `stop`; then remove the entry, so that nobody misses this process."""
        while True:
            lag = await self._report()
            connections, users = len(self._connections), self._connections.users
            self._telemetry.gateway(connections, users, lag)
            self._show(f"serving {connections} connections of {users} users")
            if await self._stop.wait(_REPORT_S):
                break
        try:
            await self._registry.leave()
        except RedisFault as error:
            self._edges.down(error.fault.code, error.fault.reason)

    async def _report(self) -> int:
        """Report once, and return how many entries wait in the inbox; 0 where Redis is away."""
        try:
            await self.write()
            lag = await self._inbox.lag()
        except RedisFault as error:
            self._telemetry.redis_error(error.fault.code)
            self._edges.down(error.fault.code, error.fault.reason)
            return 0
        self._edges.up()
        return lag
