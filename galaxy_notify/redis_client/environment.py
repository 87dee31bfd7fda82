"""What a client takes from outside its process: connections to Redis, and the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from galaxy_notify.redis_client.access import open_async, open_sync
from galaxy_notify.redis_client.still_agreed import AgreementCheck

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from galaxy_notify.settings import Settings


class Environment:
    """The one seam for tests without a server: `galaxy_notify.testing` hands in another one."""

    def open_sync(
        self, settings: Settings, *, agreed: AgreementCheck | None = None, **options: Any
    ) -> redis.Redis:
        """Return a client as `access.open_sync` does."""
        return open_sync(settings, agreed=agreed, **options)

    def open_async(
        self, settings: Settings, *, agreed: AgreementCheck | None = None, **options: Any
    ) -> redis.asyncio.Redis:
        """Return a client as `access.open_async` does."""
        return open_async(settings, agreed=agreed, **options)

    def now_ms(self) -> int:
        """Return the time of this machine, in epoch ms."""
        return time.time_ns() // 1_000_000


REAL = Environment()
