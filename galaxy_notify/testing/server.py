"""A Redis server in this process whose clock stands still until it is moved.

It is fakeredis, which keeps the data and runs the scripts; only its three clocks are replaced. What
is above the socket is what ships: connections, their pools, the packing and the reading of replies.

Why an imitation: docs/decisions/0013-fakeredis-for-quick-tests-only.md
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from queue import Empty
from typing import Any, Final

import redis
import redis.asyncio
from fakeredis import FakeServer
from fakeredis._clients._tcp_server import encode_reply
from fakeredis._core import Database
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket
from fakeredis.model._stream import StreamEntryKey

from galaxy_notify.redis_client.access import Environment
from galaxy_notify.redis_client.connection import async_client, sync_client
from galaxy_notify.redis_client.still_agreed import AgreementCheck
from galaxy_notify.redis_client.wire import SyncUnix, Unix
from galaxy_notify.settings import Settings

#: Where the server seems to be: no such socket is ever opened.
URL: Final = "unix:///in-this-process"
_VERSION: Final = (7,)


@dataclass
class Clock:
    """The time of a server in this process, in epoch ms; it moves only when it is set."""

    now_ms: int


class InProcess(Environment):
    """A server in this process as the environment of clients."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._server = FakeServer(version=_VERSION)
        self._server.dbs = defaultdict(lambda: _Database(self._server.lock, clock))

    def open_sync(
        self, settings: Settings, *, agreed: AgreementCheck | None = None, **options: Any
    ) -> redis.Redis:
        del settings
        client = sync_client(URL, **options)
        self._lead_here(client, _LocalConnection, agreed and agreed.check)
        return client

    def open_async(
        self, settings: Settings, *, agreed: AgreementCheck | None = None, **options: Any
    ) -> redis.asyncio.Redis:
        """Return an asynchronous client of this server; it works in any event loop."""
        del settings
        client = async_client(URL, **options)
        self._lead_here(client, _AsyncLocalConnection, agreed and agreed.check_async)
        return client

    def now_ms(self) -> int:
        return self.clock.now_ms

    def _lead_here(self, client: Any, connection_class: type[Any], on_connect: Any) -> None:
        """Have a client connect to this server, and call *on_connect* where that is given."""
        client.connection_pool.connection_class = connection_class
        client.connection_pool.connection_kwargs |= {
            "socket_of": self._socket,
            "redis_connect_func": on_connect,
        }

    def _socket(self) -> _Socket:
        return _Socket(self._server, self.clock)


class _Database(Database):
    """A database whose keys expire by the clock."""

    def __init__(self, lock: threading.Lock, clock: Clock) -> None:
        self._clock = clock
        super().__init__(lock)

    @property
    def time(self) -> float:
        return self._clock.now_ms / 1000

    @time.setter
    def time(self, _: float) -> None:
        """Ignore the machine's time, which fakeredis notes before each command."""


class _Socket(FakeSocket):
    """One connection as the server sees it; what is written is answered before the write ends."""

    def __init__(self, server: FakeServer, clock: Clock) -> None:
        super().__init__(server, 0, client_class=redis.Redis)
        self._clock = clock

    def time(self) -> list[bytes]:
        """Answer TIME."""
        seconds, ms = divmod(self._clock.now_ms, 1000)
        return [b"%d" % seconds, b"%d" % (ms * 1000)]

    def hello(self, *args: bytes) -> Any:
        """Answer HELLO; without a version the connection keeps the one it has."""
        return super().hello(*(args or (b"%d" % self._client_info.protocol_version,)))

    def replies_to(self, data: bytes) -> bytes:
        """Run the commands in *data* and return the bytes of their replies."""
        self.sendall(data)
        replies = bytearray()
        while True:
            try:
                reply = self.responses.get_nowait() if self.responses else None
            except Empty:
                return bytes(replies)
            replies += encode_reply(reply, self._client_info.protocol_version)

    def _parse_add_trim_args(self, args: Any, xadd: bool) -> Any:
        """Have the ids of `XADD *` follow the clock: it is `<now>-*` where time never goes back."""
        options = super()._parse_add_trim_args(args, xadd)
        if xadd and options.entry_id is None:
            options.entry_id = StreamEntryKey(self._clock.now_ms, 0)
            options.seq_given = False
        return options

    def _decode_error(self, error: SimpleError) -> Any:
        # As it is: the code in front of it says what it is.
        return error


class _Line:
    """The client's end of a connection, where redis-py expects a socket."""

    def __init__(self, server: _Socket) -> None:
        self._server = server
        self._unread = b""

    @property
    def has_unread(self) -> bool:
        return bool(self._unread)

    def sendall(self, data: bytes) -> None:
        self._unread += self._server.replies_to(data)

    def recv_into(self, buffer: bytearray) -> int:
        part, self._unread = self._unread[: len(buffer)], self._unread[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def settimeout(self, _: float | None) -> None:
        """Nothing takes any time here."""

    def shutdown(self, _: int) -> None:
        """The close that follows ends it."""

    def close(self) -> None:
        self._server.close()


class _Writer:
    """The same for asyncio: what is written has its replies in the reader at once."""

    def __init__(self, server: _Socket, reader: asyncio.StreamReader) -> None:
        self._server = server
        self._reader = reader

    def writelines(self, parts: Iterable[bytes]) -> None:
        self._reader.feed_data(self._server.replies_to(b"".join(parts)))

    async def drain(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self._server.close()

    async def wait_closed(self) -> None:
        """It is closed at once."""

    def get_extra_info(self, _: str) -> _Line:
        return _Line(self._server)


class _LocalConnection(SyncUnix):
    def __init__(self, *, socket_of: Any, **options: Any) -> None:
        super().__init__(**options)
        self._socket_of = socket_of

    def _connect(self) -> _Line:
        return _Line(self._socket_of())

    def can_read(self, timeout: float = 0) -> bool:
        line: Any = self._sock
        return line is None or bool(line.has_unread)


class _AsyncLocalConnection(Unix):
    def __init__(self, *, socket_of: Any, **options: Any) -> None:
        super().__init__(**options)
        self._socket_of = socket_of

    async def _connect(self) -> None:
        reader = self._reader = asyncio.StreamReader()
        writer: Any = _Writer(self._socket_of(), reader)
        self._writer = writer
