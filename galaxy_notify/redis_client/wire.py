"""Connections as they are on the wire: packed in C, and raising redis-py's own errors only.

What a link makes of a reply is an `InvalidResponse`, after which the connection is not used again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection
from redis.connection import AbstractConnection as AbstractSyncConnection
from redis.exceptions import ConnectionError, InvalidResponse, MovedError, RedisError, ResponseError

from galaxy_notify.redis_client.faults import GARBLED, note
from galaxy_notify.redis_client.following import Primary
from galaxy_notify.redis_client.scheme_probe import WITH_TLS, WITHOUT_TLS, may_be_plain, may_be_tls
from galaxy_notify.redis_client.scripts import Packer, packed_words
from galaxy_notify.redis_client.topology import Address


# A call may be given up between its request and its reply: a timeout, a cancelled task, a signal
# handler that raises. The reply still comes, and the next call on that connection would take it for
# its own: a receipt of other intents. So each connection counts the replies that it is owed.
#
# After a forced failover the old primary takes writes for seconds, and all of them are lost. So
# each loan compares addresses, not only each connect: docs/decisions/0007-own-sentinel-lookup.md
class _OwnConnection:
    """Counts the replies that are still to come: a connection that owes any is not lent again.

    With a *primary* it goes to where that is at the time of each loan.
    """

    host: str
    port: int
    #: Replies that redis-py asked for and has not read.
    owed: int = 0
    #: Replies that were read.
    answers: int = 0
    #: Another connection was made in its place.
    is_lost: bool = False
    #: The asker of the server's number of shards, and the answer; None where it was not asked.
    shards_of: tuple[object, bytes | None] | None = None

    def __init__(self, *, primary: Primary | None = None, **options: Any) -> None:
        self.primary = primary
        super().__init__(**options)

    @property
    def is_clean(self) -> bool:
        """Return whether the next call can only read its own reply."""
        return self.owed <= 0 and bool(self.is_connected)  # type: ignore[attr-defined]

    def _not_connected(self, error: Exception) -> None:
        note(error, self)
        if self.primary is not None:
            self.primary.mark_stale()

    def _reply_error(self, error: Exception) -> Exception:
        """Return redis-py's own error for one that was met where a reply was read."""
        if isinstance(error, ResponseError):
            self._answered()
        if self.primary is not None and isinstance(error, MovedError):
            self.primary.moved(error)
        is_garbled = isinstance(error, GARBLED) or _is_a_size(error)
        found = _no_reply(error) if is_garbled else error
        note(found, self)
        return found

    def _answered(self) -> None:
        self.owed -= 1
        self.answers += 1


class _Connection(_OwnConnection, AbstractConnection):
    """Packs commands in C, as redis-py's synchronous ones do, and is not used once it is to end."""

    def pack_command(self, *args: Any) -> list[bytes]:
        self.owed += 1
        return packed_words(*args)

    def drop(self) -> None:
        """Close it, waiting for nothing."""
        self._parser.on_disconnect()  # type: ignore[no-untyped-call]  # redis-py
        self._close()  # type: ignore[no-untyped-call]  # redis-py

    def abandon(self) -> None:
        """End it where its event loop is closed and can't."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            with suppress(OSError):
                writer.get_extra_info("socket").shutdown(SHUT_RDWR)

    async def connect(self) -> None:
        if self.primary is not None:
            at: Address = await self.primary.now()
            if (self.host, self.port) != at:
                await self.disconnect(nowait=True)
                self.host, self.port = at
        try:
            await super().connect()  # type: ignore[no-untyped-call]  # redis-py
        except (RedisError, OSError) as error:
            self._not_connected(error)
            raise

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply; after UNBLOCKED the server closes, and the connection ends."""
        try:
            reply = await super().read_response(*args, **options)
        except (RedisError, OSError, *GARBLED) as error:
            if str(error).startswith("UNBLOCKED ") or _is_a_size(error):
                await self.disconnect(nowait=True)
            found = self._reply_error(error)
            if found is error:
                raise
            raise found from error
        self._answered()
        return reply

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        with _readable():
            await super().on_connect_check_health(check_health)


class _SyncConnection(_OwnConnection, AbstractSyncConnection):
    """Raises redis-py's own errors only, even where the link garbles a reply."""

    def connect(self) -> None:
        if self.primary is not None:
            at: Address = self.primary.now()
            if (self.host, self.port) != at:
                self.disconnect()  # type: ignore[no-untyped-call]  # redis-py
                self.host, self.port = at
        try:
            super().connect()  # type: ignore[no-untyped-call]  # redis-py
        except (RedisError, OSError) as error:
            self._not_connected(error)
            raise

    def _construct_command_packer(self, _: Any) -> Packer:
        return Packer()

    def send_command(self, *args: Any, **options: Any) -> None:
        self.owed += 1
        super().send_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py

    def pack_commands(self, commands: Sequence[Any]) -> Any:
        self.owed += len(commands)
        return super().pack_commands(commands)  # type: ignore[no-untyped-call]  # redis-py

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            reply = super().read_response(*args, **options)
        except (RedisError, OSError, *GARBLED) as error:
            if _is_a_size(error):
                self.disconnect()  # type: ignore[no-untyped-call]  # redis-py
            found = self._reply_error(error)
            if found is error:
                raise
            raise found from error
        self._answered()
        return reply

    def on_connect_check_health(self, check_health: bool = True) -> None:
        with _readable():
            super().on_connect_check_health(check_health)


@contextmanager
def _readable() -> Iterator[None]:
    """Raise `InvalidResponse`, which closes the connection, for an unreadable reply at a login."""
    try:
        yield
    except GARBLED as error:
        raise _no_reply(error) from error


def _is_a_size(error: Exception) -> bool:
    """Return whether an error was the head of a list or a text, whose rest is yet to come."""
    return isinstance(error, ResponseError) and str(error).lstrip("-").isdigit()


def _no_reply(error: Exception) -> InvalidResponse:
    return InvalidResponse(f"not a valid reply: {type(error).__name__}")


class _Tcp(_Connection, redis.asyncio.Connection):
    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in; say so where the server speaks TLS."""
        try:
            await super().on_connect_check_health(check_health)
            WITHOUT_TLS.fits(self)
        except (ConnectionError, InvalidResponse) as error:
            if may_be_tls(error) and (wrong_scheme := await WITHOUT_TLS.wrong_scheme_async(self)):
                raise ConnectionError(str(wrong_scheme)) from wrong_scheme
            raise


class _Tls(_Connection, redis.asyncio.SSLConnection):
    """Reads the certificates again for each connection, so that rotated ones are picked up."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        self.ssl_context.context = None
        return super()._connection_arguments()

    async def _connect(self) -> None:
        try:
            await super()._connect()  # type: ignore[no-untyped-call]  # redis-py
            WITH_TLS.fits(self)
        except OSError as error:
            if may_be_plain(error) and (wrong_scheme := await WITH_TLS.wrong_scheme_async(self)):
                raise wrong_scheme from error
            raise


class Unix(_Connection, redis.asyncio.UnixDomainSocketConnection):
    """A connection to a socket on this machine."""


class _SyncTcp(_SyncConnection, redis.Connection):
    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in; say so where the server speaks TLS."""
        try:
            super().on_connect_check_health(check_health)
            WITHOUT_TLS.fits(self)
        except (ConnectionError, InvalidResponse) as error:
            if may_be_tls(error) and (wrong_scheme := WITHOUT_TLS.wrong_scheme(self)):
                raise ConnectionError(str(wrong_scheme)) from wrong_scheme
            raise


class _SyncTls(_SyncConnection, redis.SSLConnection):
    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        try:
            made = super()._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]  # redis-py
        except OSError as error:
            if may_be_plain(error) and (wrong_scheme := WITH_TLS.wrong_scheme(self)):
                raise wrong_scheme from error
            raise
        WITH_TLS.fits(self)
        return made


class SyncUnix(_SyncConnection, redis.UnixDomainSocketConnection):
    """A connection to a socket on this machine."""


#: Our connections by those of redis-py in whose place they are used.
OWN: Final[Mapping[type[Any], type[Any]]] = {
    redis.asyncio.Connection: _Tcp,
    redis.asyncio.SSLConnection: _Tls,
    redis.asyncio.UnixDomainSocketConnection: Unix,
    redis.Connection: _SyncTcp,
    redis.SSLConnection: _SyncTls,
    redis.UnixDomainSocketConnection: SyncUnix,
}
