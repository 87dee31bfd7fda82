"""Connections: bounded in time, never re-sending by themselves."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from galaxy_notify.redis_client.async_pools import AsyncPool
from galaxy_notify.redis_client.pools import SyncPool
from galaxy_notify.redis_client.replies import check_kinds
from galaxy_notify.redis_client.wire import OWN

C = TypeVar("C", redis.Redis, redis.asyncio.Redis)

#: Bound of every call, in seconds; a blocking command must ask for less.
SOCKET_TIMEOUT_S: Final = 2.0
CONNECT_TIMEOUT_S: Final = 1.0
#: How many callers may wait for a connection.
MAX_WAITING: Final = 100_000
#: redis-py knows no scheme of this name.
_ALIAS: Final = re.compile("^valkey(s?://)")


def async_client(url: str, **options: Any) -> redis.asyncio.Redis:
    """Return a client for the daemon and the consumer; nothing is sent before its first call.

    *options* are those of redis-py's connections, and *connections*, *max_waiting* and *name*. With
    a *primary* the URL only says how to connect, and each connection goes where that is.
    """
    pool = AsyncPool.from_url(_ALIAS.sub(r"redis\1", url), **_pool_options(AsyncRetry, **options))
    return _own(redis.asyncio.Redis.from_pool(pool))


def sync_client(url: str, **options: Any) -> redis.Redis:
    """Return a client for producers and the CLI; see `async_client`."""
    pool = SyncPool.from_url(_ALIAS.sub(r"redis\1", url), **_pool_options(Retry, **options))
    return _own(redis.Redis.from_pool(pool))


def _own(client: C) -> C:
    """Have a client use our connections, and check the kinds of replies."""
    pool: Any = client.connection_pool
    pool.connection_class = OWN[pool.connection_class]
    check_kinds(client.response_callbacks)
    return client


def _pool_options(
    retry: type[Any],
    *,
    connections: int = 8,
    max_waiting: int = MAX_WAITING,
    name: str = "galaxy-notify",
    **options: Any,
) -> dict[str, Any]:
    common = {
        "max_connections": connections,
        "max_waiting": max_waiting,
        "retry": retry(NoBackoff(), 0),
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "health_check_interval": 0,
        "client_name": name,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "protocol": 3,
        # Only noise in the ACL log of a user with least rights: the name of the client says more.
        "driver_info": None,
    }
    return common | options
