"""Whether a user has read a notification in the feed, just before it is sent outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis.asyncio

from galaxy_notify.model.ids import first_part
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_state.in_app import has_in_app
from galaxy_notify.redis_state.shared_settings import KeySpace

if TYPE_CHECKING:
    from galaxy_notify.channels.endings import DueRoute
    from galaxy_notify.feed_store.store import FeedStore


class ReadCheck:
    """Asks the feed, where the notification has a place in it; elsewhere nobody can read it."""

    def __init__(self, client: redis.asyncio.Redis, key_space: KeySpace, feed: FeedStore) -> None:
        self._client = client
        self._key_space = key_space
        self._feed = feed

    async def __call__(self, due: DueRoute) -> bool:
        """Return whether the user has read it; raise `RedisFault`, `FeedUnavailable`."""
        notification = due.notification
        part = notification.notification_id
        flow = has_in_app(self._key_space, part, notification.parts, due.user_id)
        if not await run_flow(self._client, flow):
            return False
        return bool(await self._feed.was_read(due.user_id, [first_part(part)]))
