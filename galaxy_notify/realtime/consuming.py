"""The consuming half of a gateway process: every event of the gateway streams is delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

import galaxy_notify
from galaxy_notify.gateway.consumer import GatewayConsumer
from galaxy_notify.gateway.event import Event
from galaxy_notify.gateway.options import ConsumerOptions
from galaxy_notify.live.placing import Placing
from galaxy_notify.realtime.delivery import Delivery
from galaxy_notify.redis_client.faults import NO_DEPLOYMENT, RedisFault
from galaxy_notify.redis_state.consumer_connection import ConsumerConnection
from galaxy_notify.redis_state.gateways import REALTIME_GROUP
from galaxy_notify.redis_state.recent import RecentLimits

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings
    from galaxy_notify.settings.realtime import RealtimeSettings


class EventDelivery:
    """Delivers events from the gateway streams to recent lists and to gateway instances.

    Any number of processes share the work, each as an *instance* with a name of its own. While
    Redis does not answer, or refuses to write, events wait: that costs no delivery, and parks none.
    """

    def __init__(self, settings: Settings, instance: str) -> None:
        """Prepare; nothing is sent before `run`."""
        self._settings = settings
        self._consumer = GatewayConsumer(
            settings, group=REALTIME_GROUP, consumer=instance, options=_options(settings.realtime)
        )
        self._opening = asyncio.Lock()
        self._connection: ConsumerConnection | None = None

    async def run(self) -> None:
        """Deliver until `stop`, also across outages of Redis; waits for a deployment.

        Raises `ConfigurationError` if Redis refuses access at the start, or if the deployment has
        another state format.
        """
        try:
            async with self._consumer:
                await self._consumer.run_batches(self._deliver)
        finally:
            if self._connection is not None:
                await self._connection.close()

    def stop(self) -> None:
        """End `run` soon: what was begun is completed, other events are left to other processes."""
        self._consumer.stop()

    async def _deliver(self, events: list[Event]) -> Mapping[str, object]:
        connection = await self._connected()
        realtime = self._settings.realtime
        limits = RecentLimits(realtime.history, realtime.history_ms)
        placing = Placing(connection.client, connection.key_space, limits)
        return await Delivery(placing, frozenset(realtime.channels))(events)

    async def _connected(self) -> ConsumerConnection:
        # Not the consumer's own connections: those wait for new events.
        async with self._opening:
            if self._connection is None:
                name = f"galaxy-notify/{galaxy_notify.__version__}"
                self._connection = await ConsumerConnection.open(self._settings, name)
            if self._connection is None:
                raise RedisFault(NO_DEPLOYMENT)
            return self._connection


def _options(realtime: RealtimeSettings) -> ConsumerOptions:
    return ConsumerOptions(
        reclaim_idle_s=realtime.reclaim_idle_ms / 1000,
        # Each call to Redis is bounded. Another process may deliver the same events meanwhile.
        handler_timeout_s=inf,
        # The recent lists know what was delivered.
        marks=False,
        history_s=realtime.history_ms / 1000,
        keeps_name=False,
    )
