"""The connections of the API."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from galaxy_notify.web import connection as connection_module
from galaxy_notify.web.connection import PIECE_BYTES, BoundedProtocol
from galaxy_notify.web.sockets import listen
from tests.support.wait import HANG_S, until


class _Reads(BoundedProtocol):
    """Remembers the most that was read at a time."""

    most = 0

    def data_received(self, data: bytes) -> None:
        """Take it as every connection does."""
        self.most = max(self.most, len(data))
        super().data_received(data)


async def _answer(_: Scope, __: Receive, send: Send) -> None:
    """Answer with more than a socket takes from one who does not read."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": bytes(1 << 25)})


@asynccontextmanager
async def _connected() -> AsyncIterator[tuple[socket.socket, _Reads]]:
    """Connect to one connection of the API, and give both ends."""
    config = Config(_answer, http=_Reads, ws="none", lifespan="off", log_config=None)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    (listening,) = listen("127.0.0.1", 0)
    server = await loop.create_server(lambda: _Reads(config, state, {}), sock=listening)
    with socket.create_connection(listening.getsockname(), timeout=HANG_S) as peer:
        await until(lambda: state.connections, "a connection")
        (made,) = state.connections
        assert isinstance(made, _Reads)
        yield peer, made
    server.close()


def test_body__is_read_a_little_at_a_time() -> None:
    """What comes in small chunks is long to take apart: others have their turn between."""

    async def talk() -> None:
        async with _connected() as (peer, connection):
            head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            peer.sendall(head + b"1\r\na\r\n" * 20_000)
            await until(lambda: connection.most >= PIECE_BYTES, "a full read")
            assert connection.most == PIECE_BYTES

    asyncio.run(talk())


def test_client__that_does_not_read_its_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that was given to the connection whole does not keep it for ever."""
    monkeypatch.setattr(connection_module, "UNREAD_S", 0.05)

    async def talk() -> None:
        async with _connected() as (peer, connection):
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(
                lambda: connection not in connection.connections, "the end of the connection"
            )

    asyncio.run(talk())


def test_client__that_reads_slowly_is_answered() -> None:
    """One who reads on has the whole answer, however long it takes."""

    async def talk() -> None:
        size = 0
        loop = asyncio.get_running_loop()
        async with _connected() as (peer, connection):
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            await until(lambda: connection.transport.get_write_buffer_size(), "an unread answer")
            peer.setblocking(False)
            while part := await loop.sock_recv(peer, 1 << 16):
                size += len(part)
                connection._leave_unread(connection.transport.get_write_buffer_size() + 1)
        assert size > 1 << 25

    asyncio.run(talk())
