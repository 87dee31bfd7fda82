"""A connection that its request takes over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from galaxy_notify.web.connection import HAND_OVER, LentProtocol
from galaxy_notify.web.sockets import listen
from tests.support.wait import HANG_S, until

_GET = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"


class _Taken(asyncio.Protocol):
    """Notes what it is given."""

    def __init__(self) -> None:
        self.data = b""
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


class _Listener:
    """An application whose path /take takes the connection, with all that it was asked."""

    def __init__(self) -> None:
        self.taken: list[tuple[_Taken, asyncio.Transport | None]] = []
        self.cookies: list[bytes] = []
        self.may_take = asyncio.Event()
        self.may_take.set()
        self.state = ServerState()
        self.address: Any = None

    async def app(self, scope: Any, _: Any, send: Any) -> None:
        if scope["path"] == "/take":
            await self.may_take.wait()
            self.cookies += [value for name, value in scope["headers"] if name == b"cookie"]
            protocol = _Taken()
            self.taken.append((protocol, scope["extensions"][HAND_OVER](protocol)))
            return
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def _listening() -> AsyncIterator[_Listener]:
    made = _Listener()
    config = Config(
        made.app,
        interface="asgi3",
        http=LentProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
    )
    config.load()
    (listening,) = listen("127.0.0.1", 0)
    made.address = listening.getsockname()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: LentProtocol(config, made.state, {}), sock=listening)
    try:
        yield made
    finally:
        server.close()


def test_connection__that_was_taken_is_no_longer_the_listeners() -> None:
    """Earlier answers went out before; later requests are never answered, and its end is known."""

    async def scenario() -> None:
        async with _listening() as listener:
            reader, writer = await asyncio.open_connection(*listener.address)
            writer.write(_GET % b"other" + _GET % b"take" + _GET % b"other" * 3)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
            await until(lambda: listener.taken, "it is taken")
            ((protocol, transport),) = listener.taken
            assert transport is not None
            assert not listener.state.connections
            writer.write(_GET % b"other")
            await until(lambda: protocol.data, "what came later")
            transport.write(b"mine")
            assert await reader.readexactly(4) == b"mine"
            writer.close()
            await until(lambda: protocol.is_lost, "the end of the connection")

    asyncio.run(scenario())


def test_connection__that_is_gone_cannot_be_taken() -> None:
    """Its request asked before the client left."""

    async def scenario() -> None:
        async with _listening() as listener:
            listener.may_take.clear()
            with socket.create_connection(listener.address, timeout=HANG_S) as peer:
                peer.sendall(_GET % b"take")
                await until(lambda: listener.state.tasks, "the request has begun")
            await until(lambda: not listener.state.connections, "the client has left")
            listener.may_take.set()
            await until(lambda: listener.taken, "it asked for the connection")
            assert listener.taken[0][1] is None

    asyncio.run(scenario())


def test_cookie__reaches_the_application() -> None:
    """A page of the same host has no other way to show who it is."""

    async def scenario() -> None:
        async with _listening() as listener:
            _, writer = await asyncio.open_connection(*listener.address)
            writer.write((_GET % b"take")[:-2] + b"Cookie: a=1; b=2\r\n\r\n")
            await until(lambda: listener.taken, "it is taken")
            assert listener.cookies == [b"a=1; b=2"]
            writer.close()

    asyncio.run(scenario())
