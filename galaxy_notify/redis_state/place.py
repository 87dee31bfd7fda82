"""A connection to a deployment: the client, what was agreed, and where everything lies."""

from __future__ import annotations

import os
from typing import Any

import redis
import redis.asyncio

from galaxy_notify.redis_state import embedded
from galaxy_notify.redis_state.connection import access_options, async_client, sync_client
from galaxy_notify.redis_state.deployment import (
    Deployment,
    Layout,
    join_deployment_sync,
    read_deployment_sync,
)
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.state_dir import resolve_state_dir
from galaxy_notify.settings import Settings

_TLS_FIELDS = ("tls_ca", "tls_cert", "tls_key")


class Place:
    """A synchronous connection, for the CLI and for operators' tools."""

    def __init__(self, client: redis.Redis, layout: Layout) -> None:
        self.client = client
        self.layout = layout

    @property
    def deployment(self) -> Deployment:
        """Return what the deployment agreed on."""
        return self.layout.deployment

    @property
    def all_keys(self) -> list[Keys]:
        """Return the keys of every shard."""
        return self.layout.all_keys

    def keys(self, shard: int) -> Keys:
        """Return the keys of one shard."""
        return self.layout.keys(shard)

    def keys_for(self, notification_id: str) -> Keys:
        """Return the keys of the shard that holds this notification or part."""
        return self.layout.keys_for(notification_id)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


def open_place(settings: Settings, *, join: bool = False) -> Place:
    """Connect to the deployment that *settings* name and compare what must agree.

    Nothing is written unless *join* founds a deployment where there is none. Raises `RedisFault`
    and `ConfigurationError`.
    """
    client = sync_client(redis_url(settings), **redis_access(settings))
    mine, prefix = Deployment.from_settings(settings), settings.redis.prefix
    if join:
        return Place(client, Layout(prefix, join_deployment_sync(client, prefix, mine)))
    found = read_deployment_sync(client, prefix)
    if found is not None:
        mine.check_against(found)
    return Place(client, Layout(prefix, found or mine))


def open_async(settings: Settings, *, connections: int, name: str) -> redis.asyncio.Redis:
    """Return the client of a daemon; nothing is sent before its first call."""
    access = redis_access(settings)
    return async_client(redis_url(settings), connections=connections, name=name, **access)


def redis_url(settings: Settings) -> str:
    """Return the URL to connect to; for an embedded server it must be living."""
    if settings.redis.url != "embedded":
        return settings.redis.url
    return embedded.connect_url(resolve_state_dir(str(settings.redis.state_dir or ""), os.environ))


def redis_access(settings: Settings) -> dict[str, Any]:
    """Return the options with which *settings* log in and trust the server."""
    own = settings.redis
    tls = {field: getattr(own, field) for field in _TLS_FIELDS}
    password = own.current_password if own.password or own.password_file else None
    return access_options(username=own.username or None, password=password, **tls)
