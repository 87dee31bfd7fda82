"""The server of a listener: a stop that takes no more connections, and keeps those there are."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvicorn

from galaxy_notify.process.supervisor import Supervisor
from galaxy_notify.web.connection import BoundedProtocol
from galaxy_notify.web.server import SupervisedServer
from galaxy_notify.web.sockets import listen
from tests.support.wait import HANG_S, until


async def _answer(_: Any, __: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_stop_listening__keeps_the_connections_that_are_there() -> None:
    """New ones are refused; one that is open is answered until the stop."""

    async def scenario() -> None:
        config = uvicorn.Config(
            _answer, http=BoundedProtocol, ws="none", lifespan="off", log_config=None
        )
        server = SupervisedServer(config, Supervisor({}))
        (listening,) = listen("127.0.0.1", 0)
        address = listening.getsockname()
        serving = asyncio.create_task(server.serve([listening]))
        await until(lambda: server.started, "it listens")
        reader, writer = await asyncio.open_connection(*address)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 204")
            server.stop_listening()
            server.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=HANG_S)
        writer.close()
        server.should_exit = True
        await serving

    asyncio.run(scenario())
