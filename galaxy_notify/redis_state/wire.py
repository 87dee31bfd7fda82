"""Connections as they are on the wire: packed in C, and raising redis-py's own errors only.

What a link makes of a reply is an `InvalidResponse`, after which the connection is not used again.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

import hiredis
import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection
from redis.connection import AbstractConnection as AbstractSyncConnection
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    InvalidResponse,
    RedisError,
    ResponseError,
)

from galaxy_notify.redis_state.faults import GARBLED, Garbled
from galaxy_notify.redis_state.following import AsyncFollows, Follows
from galaxy_notify.redis_state.scheme_probe import (
    WITH_TLS,
    WITHOUT_TLS,
    speaks_plain,
    speaks_plain_async,
    speaks_tls,
    speaks_tls_async,
)
from galaxy_notify.redis_state.tls_faults import no_tls_there, tls_there
from galaxy_notify.redis_state.whereabouts import address_of, note


def packed(command: tuple[Any, ...]) -> list[bytes]:
    """Return a command as a connection sends it."""
    return [hiredis.pack_command(command)]


class _Connection(AbstractConnection):
    """Packs commands in C, as redis-py's synchronous ones do, and is not used once it is to end."""

    def pack_command(self, *args: Any) -> list[bytes]:
        # redis-py writes commands of two words, such as "CONFIG GET", as one argument.
        name = args[0].split() if isinstance(args[0], str) else args[:1]
        return packed((*name, *args[1:]))

    async def connect(self) -> None:
        """Connect and log in."""
        try:
            await super().connect()  # type: ignore[no-untyped-call]  # redis-py
        except (RedisError, OSError) as error:
            note(error, self)
            raise

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply; after UNBLOCKED the server closes, and the next call connects anew."""
        try:
            return await self._reply(*args, **options)
        except (RedisError, OSError) as error:
            note(error, self)
            raise

    async def _reply(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            if str(error).startswith("UNBLOCKED ") or _is_a_size(error):
                await self.disconnect(nowait=True)
            if _is_a_size(error):
                raise _no_reply(error) from error
            raise
        except GARBLED as error:
            raise _no_reply(error) from error

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in; one that cannot is closed, whatever it was answered."""
        try:
            await super().on_connect_check_health(check_health)
        except GARBLED as error:
            raise _no_reply(error) from error


class _SyncConnection(AbstractSyncConnection):
    """Raises redis-py's own errors only, whatever the link makes of a reply."""

    def connect(self) -> None:
        """Connect and log in."""
        try:
            super().connect()  # type: ignore[no-untyped-call]  # redis-py
        except (RedisError, OSError) as error:
            note(error, self)
            raise

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply."""
        try:
            return self._reply(*args, **options)
        except (RedisError, OSError) as error:
            note(error, self)
            raise

    def _reply(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)
        except ResponseError as error:
            if not _is_a_size(error):
                raise
            self.disconnect()  # type: ignore[no-untyped-call]  # redis-py
            raise _no_reply(error) from error
        except GARBLED as error:
            raise _no_reply(error) from error

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in; one that cannot is closed, whatever it was answered."""
        try:
            super().on_connect_check_health(check_health)
        except GARBLED as error:
            raise _no_reply(error) from error


def with_sound_callbacks(callbacks: MutableMapping[Any, Callable[..., Any]]) -> None:
    """Have what a client makes of replies raise `Garbled` where a reply can't be made into it."""
    for name, callback in list(callbacks.items()):
        callbacks[name] = _sound(callback)


def _sound(callback: Callable[..., Any]) -> Callable[..., Any]:
    def made(reply: Any, **options: Any) -> Any:
        try:
            return callback(reply, **options)
        except GARBLED as error:
            raise Garbled(f"what came is no reply: {type(error).__name__}") from error

    return made


def _is_a_size(error: ResponseError) -> bool:
    """Tell whether an error was the head of a list or a text, whose rest is yet to come."""
    return str(error).lstrip("-").isdigit()


def _address(connection: Any) -> tuple[str, int]:
    return str(connection.host), int(connection.port)


def _may_be_tls(error: RedisError) -> bool:
    """Tell whether a login ended as it does where a TLS server is spoken to without it."""
    said = isinstance(error, AuthenticationError | BusyLoadingError)
    return isinstance(error, ConnectionError | InvalidResponse) and not said


def _may_be_plain(error: OSError) -> bool:
    """Tell whether a TLS handshake ended as it does where a plain server is spoken to."""
    elsewhere = (ConnectionRefusedError, ssl.SSLCertVerificationError, socket.gaierror)
    return not isinstance(error, elsewhere)


def _no_reply(error: Exception) -> InvalidResponse:
    return InvalidResponse(f"what came is no reply: {type(error).__name__}")


class _Tcp(_Connection, redis.asyncio.Connection):
    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in; say so where the server speaks TLS."""
        try:
            await super().on_connect_check_health(check_health)
            WITHOUT_TLS.fits(_address(self))
        except (ConnectionError, InvalidResponse) as error:
            if _may_be_tls(error) and await WITHOUT_TLS.speaks_other_async(
                _address(self), speaks_tls_async
            ):
                told = tls_there(address_of(self))
                raise ConnectionError(str(told)) from told
            raise


class _Tls(_Connection, redis.asyncio.SSLConnection):
    """Reads the certificates anew for each connection, so that rotated ones are picked up."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        self.ssl_context.context = None
        return super()._connection_arguments()

    async def _connect(self) -> None:
        try:
            await super()._connect()  # type: ignore[no-untyped-call]  # redis-py
            WITH_TLS.fits(_address(self))
        except OSError as error:
            if _may_be_plain(error) and await WITH_TLS.speaks_other_async(
                _address(self), speaks_plain_async
            ):
                raise no_tls_there(address_of(self)) from error
            raise


class _FollowingTcp(AsyncFollows, _Tcp):
    pass


class _FollowingTls(AsyncFollows, _Tls):
    pass


class _Unix(_Connection, redis.asyncio.UnixDomainSocketConnection):
    pass


class _SyncTcp(_SyncConnection, redis.Connection):
    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in; say so where the server speaks TLS."""
        try:
            super().on_connect_check_health(check_health)
            WITHOUT_TLS.fits(_address(self))
        except (ConnectionError, InvalidResponse) as error:
            if _may_be_tls(error) and WITHOUT_TLS.speaks_other(_address(self), speaks_tls):
                told = tls_there(address_of(self))
                raise ConnectionError(str(told)) from told
            raise


class _SyncTls(_SyncConnection, redis.SSLConnection):
    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        try:
            made = super()._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]  # redis-py
        except OSError as error:
            if _may_be_plain(error) and WITH_TLS.speaks_other(_address(self), speaks_plain):
                raise no_tls_there(address_of(self)) from error
            raise
        WITH_TLS.fits(_address(self))
        return made


class _SyncFollowingTcp(Follows, _SyncTcp):
    pass


class _SyncFollowingTls(Follows, _SyncTls):
    pass


class _SyncUnix(_SyncConnection, redis.UnixDomainSocketConnection):
    pass


FAST: Final[dict[type[AbstractConnection], type[AbstractConnection]]] = {
    redis.asyncio.Connection: _Tcp,
    redis.asyncio.SSLConnection: _Tls,
    redis.asyncio.UnixDomainSocketConnection: _Unix,
}
FOLLOWING: Final[dict[type[AbstractConnection], type[AbstractConnection]]] = {
    redis.asyncio.Connection: _FollowingTcp,
    redis.asyncio.SSLConnection: _FollowingTls,
}
SYNC: Final[dict[type[Any], type[Any]]] = {
    redis.Connection: _SyncTcp,
    redis.SSLConnection: _SyncTls,
    redis.UnixDomainSocketConnection: _SyncUnix,
}
SYNC_FOLLOWING: Final[dict[type[Any], type[Any]]] = {
    redis.Connection: _SyncFollowingTcp,
    redis.SSLConnection: _SyncFollowingTls,
}
