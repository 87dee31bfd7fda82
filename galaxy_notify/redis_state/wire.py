"""Connections as they are on the wire: packed in C, and raising redis-py's own errors only.

What a link makes of a reply is an `InvalidResponse`, after which the connection is not used again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Any, Final

import hiredis
import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection
from redis.connection import AbstractConnection as AbstractSyncConnection
from redis.exceptions import InvalidResponse, ResponseError

from galaxy_notify.redis_state.faults import GARBLED, Garbled
from galaxy_notify.redis_state.following import AsyncFollows, Follows

_NUMBERS: Final = frozenset({int, float})


def packed(command: tuple[Any, ...]) -> list[bytes]:
    """Return a command as a connection sends it.

    hiredis 3.5 crashes where a signal handler raises while it makes the text of a number, so it
    is given none.
    """
    texts: Any = tuple([part if type(part) not in _NUMBERS else repr(part) for part in command])
    return [hiredis.pack_command(texts)]


def _packed_words(*args: Any) -> list[bytes]:
    """Pack what redis-py sends: commands of two words, such as "CONFIG GET", are one argument."""
    name = args[0].split() if isinstance(args[0], str) else args[:1]
    return packed((*name, *args[1:]))


class _Owing:
    """Knows how many replies are yet to come: what owes any is never lent again."""

    #: Replies that were asked for by redis-py and not read.
    owed: int = 0
    #: Replies that were read.
    answers: int = 0
    #: Another one was made in its place.
    is_lost: bool = False

    @property
    def is_clean(self) -> bool:
        """Tell whether the next call can only read its own reply."""
        return self.owed <= 0 and bool(self.is_connected)  # type: ignore[attr-defined]

    def _answered(self) -> None:
        self.owed -= 1
        self.answers += 1


class _Connection(_Owing, AbstractConnection):
    """Packs commands in C, as redis-py's synchronous ones do, and is not used once it is to end."""

    def pack_command(self, *args: Any) -> list[bytes]:
        self.owed += 1
        return _packed_words(*args)

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

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply; after UNBLOCKED the server closes, and the connection ends."""
        try:
            reply = await super().read_response(*args, **options)
        except ResponseError as error:
            self._answered()
            if str(error).startswith("UNBLOCKED ") or _is_a_size(error):
                await self.disconnect(nowait=True)
            if _is_a_size(error):
                raise _no_reply(error) from error
            raise
        except GARBLED as error:
            raise _no_reply(error) from error
        self._answered()
        return reply

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in; one that cannot is closed, whatever it was answered."""
        try:
            await super().on_connect_check_health(check_health)
        except GARBLED as error:
            raise _no_reply(error) from error


class _Packer:
    """Packs for redis-py's synchronous connections as for the others."""

    pack = staticmethod(_packed_words)


class _SyncConnection(_Owing, AbstractSyncConnection):
    """Raises redis-py's own errors only, whatever the link makes of a reply."""

    def _construct_command_packer(self, _: Any) -> _Packer:
        return _Packer()

    def send_command(self, *args: Any, **options: Any) -> None:
        """Send a command."""
        self.owed += 1
        super().send_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py

    def pack_commands(self, commands: Sequence[Any]) -> Any:
        """Pack the commands of a pipeline."""
        self.owed += len(commands)
        return super().pack_commands(commands)  # type: ignore[no-untyped-call]  # redis-py

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply."""
        try:
            reply = super().read_response(*args, **options)
        except ResponseError as error:
            self._answered()
            if not _is_a_size(error):
                raise
            self.disconnect()  # type: ignore[no-untyped-call]  # redis-py
            raise _no_reply(error) from error
        except GARBLED as error:
            raise _no_reply(error) from error
        self._answered()
        return reply

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


def _no_reply(error: Exception) -> InvalidResponse:
    return InvalidResponse(f"what came is no reply: {type(error).__name__}")


class _Tcp(_Connection, redis.asyncio.Connection):
    pass


class _Tls(_Connection, redis.asyncio.SSLConnection):
    """Reads the certificates anew for each connection, so that rotated ones are picked up."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        self.ssl_context.context = None
        return super()._connection_arguments()


class _FollowingTcp(AsyncFollows, _Tcp):
    pass


class _FollowingTls(AsyncFollows, _Tls):
    pass


class _Unix(_Connection, redis.asyncio.UnixDomainSocketConnection):
    pass


class _SyncTcp(_SyncConnection, redis.Connection):
    pass


class _SyncTls(_SyncConnection, redis.SSLConnection):
    pass


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
