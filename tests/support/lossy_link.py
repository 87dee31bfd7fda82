"""A link to a server on which single answers get lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.support.servers import Server


class Link:
    """A connection to a server through which an answer can get lost."""

    def __init__(self, server: Server) -> None:
        self.url = f"unix://{server.folder / 'link.sock'}?db=0"
        self._path = server.folder / "link.sock"
        self._server = server
        self._lose_after: bytes | None = None
        self.lost = 0

    def lose_answer_to(self, request: bytes) -> None:
        """Let the next request that holds these bytes pass, and drop its answer."""
        self._lose_after = request

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Link]:
        """Serve while the block runs."""
        listener = await asyncio.start_unix_server(self._serve, str(self._path))
        try:
            yield self
        finally:
            listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(str(self._server.socket))
        losing = asyncio.Event()

        def look(data: bytes) -> bool:
            if self._lose_after is not None and self._lose_after in data:
                self._lose_after = None
                losing.set()
            return True

        def answer(_: bytes) -> bool:
            if losing.is_set():
                self.lost += 1
                return False
            return True

        await asyncio.gather(_pump(reader, up_writer, look), _pump(up_reader, writer, answer))


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, passes: Callable[[bytes], bool]
) -> None:
    try:
        while (data := await source.read(65_536)) and passes(data):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        sink.close()
