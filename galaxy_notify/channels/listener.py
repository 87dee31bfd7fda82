"""Listens for wake-ups of the external channels at one shard, while their places wait for work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import Final

from structlog.typing import FilteringBoundLogger

from galaxy_notify.channels.shard import ChannelShard
from galaxy_notify.channels.sources import RouteSource, Sources
from galaxy_notify.redis_client.faults import RedisFault

#: A blocking command must end within the time limit of a call, and a stop waits for it.
_LISTEN_S: Final = 1.0
#: While places of some channels find routes: they are listened for as soon as they rest.
_LISTEN_BRIEFLY_S: Final = 0.1
_WRONG_TYPE_S: Final = 60.0


class WakeListener:
    """One call at a time for all channels of a shard. While places find routes, none is needed."""

    def __init__(
        self,
        shard: ChannelShard,
        channels: Mapping[str, tuple[Sources, RouteSource]],
        log: FilteringBoundLogger,
    ) -> None:
        """Prepare; *channels* has the source of each at this shard, and all of them."""
        self._shard = shard
        self._channels = channels
        self._rested = asyncio.Event()
        self._log = log
        self._stopping = False
        self._listen_at = 0.0

    async def run(self) -> None:
        """Listen until stopped."""
        while not self._stopping:
            self._rested.clear()
            resting = [name for name, (sources, _) in self._channels.items() if sources.rests]
            wait_s = max(self._listen_at, self._shard.retry_at) - monotonic()
            if not resting or wait_s > 0:
                await self._wait(min(wait_s, _LISTEN_S) if resting else _LISTEN_S)
            elif await self._heard(resting):
                await self._wake(resting)
        # The last call may have taken a wake-up for a route that another process is to send.
        with suppress(RedisFault):
            await self._shard.store.notify_channels(list(self._channels))

    def look(self) -> None:
        """Listen if that is needed now: a place begins to wait, or Redis has answered again."""
        self._rested.set()

    def stop(self) -> None:
        """End behind the call that is under way."""
        self._stopping = True
        self.look()

    async def _wake(self, names: list[str]) -> None:
        """Have places claim; where all are busy now, another process may have one that is free."""
        busy = [name for name in names if not self._channels[name][0].rests]
        for name in names:
            sources, source = self._channels[name]
            source.claim_in(0.0)
            sources.wake()
        if busy:
            with suppress(RedisFault):
                await self._shard.store.notify_channels(busy)

    async def _heard(self, channels: list[str]) -> bool:
        try:
            all_rest = len(channels) == len(self._channels)
            seconds = _LISTEN_S if all_rest else _LISTEN_BRIEFLY_S
            return await self._shard.store.wait_for_wakeup(channels, seconds)
        except RedisFault as error:
            if error.fault.code == "WRONGTYPE":
                # The key belongs to another application: the poll interval still finds due routes.
                self._listen_at = monotonic() + _WRONG_TYPE_S
                fault = error.fault
                self._log.warning("wake-ups unavailable", code=fault.code, reason=fault.text)
            else:
                await self._shard.failed(error)
            return False

    async def _wait(self, seconds: float) -> None:
        waiting = asyncio.create_task(self._rested.wait())
        await asyncio.wait({waiting}, timeout=seconds)
        waiting.cancel()
