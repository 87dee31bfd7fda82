"""What follows a change of the feed: the unread mark, the counts, and live events, in Redis.

Postgres has everything, so none of this may fail or delay a change. After a fault of Redis nothing
is sent until it answers again: an outage costs one time-out, not one for each change. What is
missed meanwhile comes by the sweep of the counts, and by the list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import redis.asyncio

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.feed.marks import Marks
from galaxy_notify.live.placing import Incoming, Placing, is_away
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped
from galaxy_notify.redis_client.faults import (
    NO_DEPLOYMENT,
    REDIS_ERRORS,
    Fault,
    RedisFault,
    Remedy,
)
from galaxy_notify.redis_client.flows import Flow, run_flow
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.redis_client.still_agreed import AgreementCheck
from galaxy_notify.redis_state.joining import adopt_deployment
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.recent import RecentLimits
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

T = TypeVar("T")
_CONNECTIONS: Final = 4


class News(NamedTuple):
    """What there is to announce: counts by user, and events in the order of the changes."""

    counts: Mapping[str, Counts]
    events: Sequence[Incoming] = ()


class _Reached(NamedTuple):
    """A deployment that was reached, and what writes to it."""

    key_space: KeySpace
    marks: Marks
    placing: Placing


class Announcer:
    """Announces changes in the deployment of *settings*; works in one event loop."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is sent before the first call."""
        self._settings = settings
        own = settings.realtime
        self._limits = RecentLimits(own.history, own.history_ms)
        self._agreed = AgreementCheck(Keys(settings.redis.prefix, 0).meta)
        self._client: redis.asyncio.Redis | None = None
        self._reached: _Reached | None = None
        self._fault: RedisFault | None = None
        self._stop = StopFlag()
        self._outage = OutageLog(EdgeLog(get_logger("feed")))
        self._retry = RetryUntilStopped(self._stop, self._outage, Stagger(), self._recover)
        self._probe: asyncio.Task[None] | None = None

    async def announce(self, news: News) -> RedisFault | None:
        """Announce a change; return why that failed, None if it did not.

        While Redis is away it waits for nothing.
        """
        if self._fault is not None:
            return self._fault
        try:
            reached = self._reached or await self._reach()
            await self._write(reached, news)
        except RedisFault as fault:
            self._went_down(fault)
            return fault
        return None

    async def run(self, flow: Callable[[KeySpace], Flow[T]]) -> T:
        """Run a flow in the deployment and return its result; raise `RedisFault`.

        While Redis is away it waits for nothing.
        """
        # That there is no deployment is asked again: a flow would take it for "not there".
        if self._fault is not None and self._fault.fault.code != NO_DEPLOYMENT.code:
            raise RedisFault(self._fault.fault)
        try:
            reached = self._reached or await self._reach()
            self._fault = None
            self._agreed.plan_for(reached.key_space.shared.shards)
            return await run_flow(reached.placing.client, flow(reached.key_space))
        except RedisFault as fault:
            # A right that only this flow needs is no reason to announce nothing.
            if is_away(fault.fault) and not fault.fault.is_permanent:
                self._went_down(fault)
            raise

    async def close(self) -> None:
        """Close the connections."""
        self._stop.set()
        if self._probe is not None:
            await self._probe
        if self._client is not None:
            with suppress(*REDIS_ERRORS):
                await self._client.aclose()

    async def _write(self, reached: _Reached, news: News) -> None:
        self._agreed.plan_for(reached.key_space.shared.shards)
        placed = await reached.placing.place(news.events) if news.events else ()
        marked = await reached.marks.publish(news.counts)
        faults = [one.fault for one in placed] + [marked.fault]
        for fault in faults:
            # What a key of one user refuses is of that user alone.
            if fault is not None and (self._agreed.is_broken or is_away(fault)):
                raise RedisFault(fault)

    async def _reach(self) -> _Reached:
        """Connect and read where everything lies; raise `RedisFault`."""
        self._agreed.plan_for(None)
        prefix = self._settings.redis.prefix
        try:
            client = self._client = self._client or open_async(
                self._settings, agreed=self._agreed, connections=_CONNECTIONS
            )
            key_space = KeySpace(prefix, await run_flow(client, adopt_deployment(prefix)))
        except ConfigurationError as error:
            # No embedded server, or state of another version: either may be put right later, and
            # the change is committed.
            raise RedisFault(Fault("connection", Remedy.RETRY, str(error))) from error
        self._agreed.is_broken = False
        self._reached = _Reached(
            key_space, Marks(client, key_space), Placing(client, key_space, self._limits)
        )
        return self._reached

    def _went_down(self, fault: RedisFault) -> None:
        self._fault, self._reached = fault, None
        self._outage.down(self, fault.fault)
        if self._probe is None or self._probe.done():
            # A context of its own: it belongs to no call of the application.
            self._probe = asyncio.get_running_loop().create_task(self._wait(), context=Context())

    async def _wait(self) -> None:
        """Ask again and again until Redis answers, or until the end."""
        with suppress(Stopped):
            await self._retry(self._reach)
            self._fault = None
            self._outage.up(self)

    async def _recover(self, fault: Fault) -> bool:
        if fault.remedy is Remedy.RESOLVE and self._client is not None:
            await refresh_primary(self._client)
        return False
