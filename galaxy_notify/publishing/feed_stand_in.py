"""What the janitor of a shard does for the feed while no writer lives: the stream stays short.

Events of a feed that is not written keep the gateway stream from being trimmed, and in the end
live delivery is held. So they wait in the backlog, for the writer that comes.
"""

from __future__ import annotations

from time import monotonic
from typing import Final

from structlog.typing import FilteringBoundLogger

from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_state.feed_backlog import FeedBacklog
from galaxy_notify.redis_state.janitor_store import JanitorStore
from galaxy_notify.telemetry.outage import EdgeLog

#: Seconds between two looks whether the deployment has a feed.
_LOOK_S: Final = 30.0


class FeedStandIn:
    """Moves events to the backlog of a shard where no writer has reported for a minute.

    A deployment has a feed where ``feed.url`` is set for this daemon, or a writer has run once: the
    backlog exists from then on. With ``feed.url`` the group begins here, so that no event is lost
    to a feed whose writer comes late.
    """

    def __init__(self, store: JanitorStore, state: ShardState, log: FilteringBoundLogger) -> None:
        self._store = store
        self._state = state
        self._edges = EdgeLog(log, "moving events for missing feed writer", "feed writer is back")
        self._refused = EdgeLog(log, "feed backlog unusable", "feed backlog usable again")
        self._backlog: FeedBacklog | None = None
        self._look_at = 0.0

    async def run_once(self) -> bool:
        """Make one pass; return whether another one moves more.

        Raises `RedisFault`; keys of the feed that cannot be used are only logged: the stream is
        trimmed for all other groups.
        """
        try:
            has_more = await self._move()
        except RedisFault as error:
            if error.fault.remedy is not Remedy.CONFIGURE and error.fault.code != "WRONGTYPE":
                raise
            self._refused.down(error.fault.code, error.fault.reason)
            return False
        self._refused.up()
        return has_more

    async def _move(self) -> bool:
        if monotonic() >= self._look_at:
            self._backlog = await self._look()
            self._look_at = monotonic() + _LOOK_S
        if self._backlog is None:
            return False
        settings = self._state.publisher.settings
        done = await self._backlog.stand_in(settings.feed.backlog_max)
        if done is None:
            self._edges.up()
            return False
        if done.moved or self._edges.is_down:
            reason = f"no writer has reported for a minute, {done.backlog} events wait"
            self._edges.down("no_writer", reason)
        return done.more

    async def _look(self) -> FeedBacklog | None:
        publisher = self._state.publisher
        if publisher.settings.feed.url:
            await self._store.join_feed()
        elif not await self._store.has_feed():
            return None
        return self._backlog or self._store.feed_backlog(publisher.policy.worker_id)
