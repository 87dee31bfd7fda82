"""What a client takes from outside its process: connections to Redis, and the time."""

from __future__ import annotations

import time

from galaxy_notify.redis_client import access


class Environment:
    """The one seam for tests without a server: `galaxy_notify.testing` hands in another one."""

    open_sync = staticmethod(access.open_sync)
    open_async = staticmethod(access.open_async)

    def now_ms(self) -> int:
        """Return the time of this machine, in epoch ms."""
        return time.time_ns() // 1_000_000


REAL = Environment()
