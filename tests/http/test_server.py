"""The stop of the API's server."""

from __future__ import annotations

import asyncio
import socket

from starlette.types import Receive, Scope, Send
from uvicorn.config import Config

from galaxy_notify.http.dependencies import AppState
from galaxy_notify.process.supervisor import Supervisor
from galaxy_notify.settings import settings_from
from galaxy_notify.telemetry.prometheus import start_scraped
from galaxy_notify.web.connection import BoundedProtocol
from galaxy_notify.web.server import SupervisedServer
from galaxy_notify.web.sockets import listen
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.wait import HANG_S, until

#: Less than a connection may take for its first head.
_STOP_S = 5


async def _never(_: Scope, __: Receive, ___: Send) -> None:
    """Answer nothing: there is no request."""


def test_stop__ends_a_connection_that_was_accepted_while_it_began() -> None:
    """It would be served until the time for a stop is over, and its last request cancelled."""

    async def stop() -> None:
        config = Config(
            _never,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=_STOP_S,
        )
        config.load()
        server = SupervisedServer(config, Supervisor({}))
        server.lifespan = config.lifespan_class(config)
        (listening,) = listen("127.0.0.1", 0)
        with socket.create_connection(listening.getsockname(), timeout=HANG_S):
            accepted, _ = listening.accept()
            await server.startup([listening])
            stopping = asyncio.create_task(server.shutdown([listening]))
            await until(lambda: not server.servers[0].is_serving(), "it accepts nothing more")
            state = server.server_state
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: BoundedProtocol(config, state, {}), accepted
            )
            assert state.connections
            await stopping
            assert not state.connections

    asyncio.run(stop())


def test_stop__does_not_wait_for_a_frozen_postgres(server: Server, feed_database: Postgres) -> None:
    """Nor for the call that does: its request was given up before."""
    feed = {"url": feed_database.url, "statement_timeout_ms": 600_000}
    settings = settings_from({"redis": {"url": server.url}, "feed": feed})

    async def stop() -> None:
        state = AppState.open(settings, start_scraped({}))
        assert state.feed is not None
        await state.feed.counts("u1")
        feed_database.server.pause()
        try:
            asking = asyncio.create_task(state.feed.counts("u1"))
            # It is sent in the next turns of the loop, where nothing else is to be done.
            await asyncio.sleep(0)
            await state.close()
            assert not asking.done()
        finally:
            feed_database.server.resume()
            # Of a process nothing is left; here its connections are to be closed.
            await state.retractor.close()

    asyncio.run(stop())
