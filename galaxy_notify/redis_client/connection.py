"""Connections: bounded in time, never re-sending by themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from galaxy_notify.redis_client import wire
from galaxy_notify.redis_client.async_pools import AsyncPool
from galaxy_notify.redis_client.faults import REDIS_ERRORS
from galaxy_notify.redis_client.following import Primary
from galaxy_notify.redis_client.pools import SyncPool
from galaxy_notify.redis_client.replies import check_kinds

#: Bound of every call, in seconds; a blocking command must ask for less.
SOCKET_TIMEOUT_S: Final = 2.0
CONNECT_TIMEOUT_S: Final = 1.0
#: How many callers may wait for a connection.
MAX_WAITING: Final = 100_000
_ALIASES: Final = {"valkey://": "redis://", "valkeys://": "rediss://"}


class _Credentials(CredentialProvider):
    """Reads the password again for each connection, so that a rotated one is picked up."""

    def __init__(self, username: str | None, password: Callable[[], str | None]) -> None:
        self.username = username
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._password() or ""
        return (self.username, password) if self.username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


def async_client(
    url: str,
    *,
    connections: int = 8,
    max_waiting: int = MAX_WAITING,
    name: str = "galaxy-notify",
    primary: Primary | None = None,
    **options: Any,
) -> redis.asyncio.Redis:
    """Return a client for the daemon and the consumer; nothing is sent before its first call.

    With a *primary* the URL only says how to connect, and each connection goes where that is.
    """
    pool = AsyncPool.from_url(
        _known_scheme(url),
        max_connections=connections,
        max_waiting=max_waiting,
        retry=AsyncRetry(NoBackoff(), 0),
        **_common(name, options),
    )
    pool.connection_class = (wire.FOLLOWING if primary else wire.FAST)[pool.connection_class]
    if primary:
        pool.connection_kwargs["primary"] = primary
    client = redis.asyncio.Redis.from_pool(pool)
    check_kinds(client.response_callbacks)
    return client


def sync_client(
    url: str,
    *,
    connections: int = 8,
    max_waiting: int = MAX_WAITING,
    name: str = "galaxy-notify",
    primary: Primary | None = None,
    **options: Any,
) -> redis.Redis:
    """Return a client for producers and the CLI; see `async_client`."""
    pool = SyncPool.from_url(
        _known_scheme(url),
        max_connections=connections,
        max_waiting=max_waiting,
        retry=Retry(NoBackoff(), 0),
        **_common(name, options),
    )
    pool.connection_class = (wire.SYNC_FOLLOWING if primary else wire.SYNC)[pool.connection_class]
    if primary:
        pool.connection_kwargs["primary"] = primary
    client = redis.Redis.from_pool(pool)
    check_kinds(client.response_callbacks)
    return client


async def refresh_primary(client: redis.asyncio.Redis) -> None:
    """Drop the idle connections and look the primary up: it may be another one."""
    _mark_stale(client)
    # One that can't even be closed in time is no loss.
    with suppress(*REDIS_ERRORS):
        await client.connection_pool.disconnect(inuse_connections=False)


def refresh_primary_sync(client: redis.Redis) -> None:
    """Drop the idle connections and look the primary up: it may be another one."""
    _mark_stale(client)
    with suppress(*REDIS_ERRORS):
        client.connection_pool.disconnect(inuse_connections=False)


def _mark_stale(client: redis.Redis | redis.asyncio.Redis) -> None:
    primary = client.connection_pool.connection_kwargs.get("primary")
    if primary is not None:
        primary.mark_stale()


def _common(name: str, options: dict[str, Any]) -> dict[str, Any]:
    common = {
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


def access_options(
    *,
    username: str | None = None,
    password: Callable[[], str | None] | None = None,
    tls_ca: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
) -> dict[str, Any]:
    """Return the options that a client needs to log in and to trust the server."""
    options: dict[str, Any] = {}
    if password is not None:
        options["credential_provider"] = _Credentials(username, password)
    elif username:
        options["username"] = username
    tls = {"ssl_ca_certs": tls_ca, "ssl_certfile": tls_cert, "ssl_keyfile": tls_key}
    return options | {field: value for field, value in tls.items() if value}


def _known_scheme(url: str) -> str:
    for alias, scheme in _ALIASES.items():
        if url.startswith(alias):
            return scheme + url.removeprefix(alias)
    return url
