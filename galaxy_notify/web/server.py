"""Uvicorn in a process of ours: our signals, our supervisor, and a stop that forgets nobody."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn

from galaxy_notify.process.supervisor import ProgressWatchdog, Supervisor

# Between two looks for connections that a stop is to end.
_LOOK_AGAIN_S: Final = 0.1


class SupervisedServer(uvicorn.Server):
    """Uvicorn, with our own signals; the watchdog is fed while its loop turns."""

    def __init__(self, config: uvicorn.Config, supervisor: Supervisor) -> None:
        super().__init__(config)
        self._supervisor = supervisor
        self.pulse = ProgressWatchdog(supervisor)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._supervisor.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        closing = asyncio.create_task(self._close_connections())
        try:
            await super().shutdown(sockets)
        finally:
            closing.cancel()

    async def _close_connections(self) -> None:
        """Close also what was accepted while the stop began, which uvicorn's one look misses.

        Clients of a worker that has just stopped connect to the next one, which is about to.
        """
        while True:
            await asyncio.sleep(_LOOK_AGAIN_S)
            for connection in list(self.server_state.connections):
                connection.shutdown()

    def stop_listening(self) -> None:
        """Accept no more connections; those there are stay until the stop."""
        for server in self.servers:
            server.close()

    async def on_tick(self, counter: int) -> bool:
        self.pulse.progressed(0)
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
