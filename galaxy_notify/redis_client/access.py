"""The client that settings ask for: of one server, of sentinels, of a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.credentials import CredentialProvider

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.ids import hash_tag
from galaxy_notify.redis_client.connection import async_client, sync_client
from galaxy_notify.redis_client.following import AsyncTopologyClient, Primary, TopologyClient
from galaxy_notify.redis_client.nodes import AsyncNodesClient, NodesClient
from galaxy_notify.redis_client.still_agreed import AgreementCheck
from galaxy_notify.redis_client.tls import check_tls_files
from galaxy_notify.redis_client.topology import (
    Address,
    ClusterTopology,
    SentinelTopology,
    Topology,
    slot_of,
)
from galaxy_notify.settings.values import EMBEDDED

if TYPE_CHECKING:
    from galaxy_notify.settings import RedisSettings, Settings

_REDIS_PORT: Final = 6379
#: A sentinel or node that does not answer at once is passed over for the next one.
_ASKING: Final = {"connections": 1, "socket_timeout": 0.5, "socket_connect_timeout": 0.5}


def open_sync(
    settings: Settings, *, agreed: AgreementCheck | None = None, **options: Any
) -> redis.Redis:
    """Return a client for producers and the CLI; nothing is sent before its first call.

    *agreed* looks at each connection to the first shard before it is used.
    """
    first = {"redis_connect_func": agreed.check} if agreed else {}
    clients = (sync_client, TopologyClient, NodesClient)
    opened: redis.Redis = _opened(settings, clients, options, first)
    return opened


def open_async(
    settings: Settings, *, agreed: AgreementCheck | None = None, **options: Any
) -> redis.asyncio.Redis:
    """Return a client for daemons and consumers; nothing is sent before its first call.

    *connections* bounds those to one server, or in a cluster those of one shard; *agreed* looks at
    each connection to the first shard before it is used.
    """
    first = {"redis_connect_func": agreed.check_async} if agreed else {}
    clients = (async_client, AsyncTopologyClient, AsyncNodesClient)
    opened: redis.asyncio.Redis = _opened(settings, clients, options, first)
    return opened


def _opened(
    settings: Settings,
    clients: tuple[Callable[..., Any], ...],
    options: dict[str, Any],
    first: dict[str, Any],
) -> Any:
    """Return a client of one of two kinds; *first* are the options of the first shard alone.

    *clients* make that of one server, of the nodes to ask, and of all shards.
    """
    client, topology_client, nodes_client = clients
    url, options = _url(settings), _access(settings) | options
    topology = _topology(settings, url)
    if topology is None:
        return client(url, **options, **first)
    asking, first_tag = _asking(settings), hash_tag(settings.redis.prefix, 0)
    first_slot = slot_of(first_tag) if settings.redis.cluster else 0
    finder = topology_client(topology, lambda node: client(_url_of(node, settings, url), **asking))
    return nodes_client(
        finder,
        first_tag,
        lambda slot: client(
            url,
            primary=Primary(finder, slot),
            **(options | first if slot == first_slot else options),
        ),
    )


def settings_at(
    url: str, prefix: str, redis: Mapping[str, Any], **sections: Mapping[str, Any]
) -> Settings:
    """Return the settings of a program that says itself where Redis is.

    *redis* are further settings of the section ``redis``, and *sections* those of others. Raises
    `ConfigurationError`.
    """
    # Loaded here: building the models of all sections takes longer than an import should.
    from galaxy_notify.settings import settings_from

    return settings_from({"redis": {"url": url, "prefix": prefix, **redis}, **sections})


def check_access(settings: Settings) -> None:
    """Find out whether the client takes what *settings* say of the server; nothing is sent.

    Raises `ConfigurationError`. An embedded server is not looked for.
    """
    if settings.redis.url == EMBEDDED:
        return
    try:
        for client in (open_sync(settings), open_async(settings)):
            client.connection_pool.make_connection()
    except (ValueError, redis.RedisError) as error:
        raise ConfigurationError(f"redis.url: invalid: {error}") from error


def user_name(settings: Settings) -> str:
    """Return the ACL user that *settings* log in as."""
    return settings.redis.username or urlsplit(settings.redis.url).username or "default"


def server_name(settings: Settings) -> str:
    """Return where *settings* look for Redis, without a password."""
    if settings.redis.sentinels:
        return ", ".join(settings.redis.sentinels)
    parts = urlsplit(settings.redis.url)
    if parts.hostname is None:
        return parts.path or settings.redis.url
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port or _REDIS_PORT}"


def _topology(settings: Settings, url: str) -> Topology | None:
    own = settings.redis
    if own.sentinels:
        return SentinelTopology(map(_address, own.sentinels), own.sentinel_master)
    if own.cluster:
        parts = urlsplit(url)
        return ClusterTopology([Address(parts.hostname or "127.0.0.1", parts.port or _REDIS_PORT)])
    return None


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))


def _url_of(node: Address, settings: Settings, url: str) -> str:
    """Return the URL of a node to ask, which is reached as the primary is."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{node.host}]" if ":" in node.host else node.host
    login = "" if settings.redis.sentinels else f"{user}{at}"
    return parts._replace(netloc=f"{login}{host}:{node.port}", path="/0").geturl()


def _asking(settings: Settings) -> dict[str, Any]:
    """Return the options to ask with: sentinels have a password of their own, and no users."""
    own, options = settings.redis, _access(settings)
    if own.sentinels:
        options.pop("username", None)
        options.pop("credential_provider", None)
        if own.sentinel_password:
            options["password"] = own.sentinel_password.get_secret_value()
    return options | _ASKING


def _url(settings: Settings) -> str:
    """Return the URL to connect to; for an embedded server it must be living."""
    if settings.redis.url != EMBEDDED:
        return settings.redis.url
    # Loaded here: only a deployment with a server of our own needs them.
    from galaxy_notify.embedded import server as embedded
    from galaxy_notify.embedded.state_dir import resolve_state_dir

    return embedded.connect_url(resolve_state_dir(str(settings.redis.state_dir or ""), os.environ))


def _access(settings: Settings) -> dict[str, Any]:
    """Return the options with which *settings* log in, trust the server, and wait in line.

    Raises `ConfigurationError` for TLS files that cannot be used.
    """
    own = settings.redis
    check_tls_files(own)
    options: dict[str, Any] = {"max_waiting": own.max_waiting}
    if own.password or own.password_file:
        options["credential_provider"] = _Credentials(own)
    elif own.username:
        options["username"] = own.username
    tls = {"ssl_ca_certs": own.tls_ca, "ssl_certfile": own.tls_cert, "ssl_keyfile": own.tls_key}
    return options | {name: path for name, path in tls.items() if path}


class _Credentials(CredentialProvider):
    """Reads the password again for each connection, so that a rotated one is picked up."""

    def __init__(self, redis: RedisSettings) -> None:
        self.username = redis.username or None
        self._redis = redis

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._redis.current_password() or ""
        return (self.username, password) if self.username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


class Environment:
    """What a client takes from outside its process: connections to Redis, and the time.

    The one seam for tests without a server: `galaxy_notify.testing` hands in another one.
    """

    open_sync = staticmethod(open_sync)
    open_async = staticmethod(open_async)

    def now_ms(self) -> int:
        """Return the time of this machine, in epoch ms."""
        return time.time_ns() // 1_000_000


REAL: Final = Environment()
