"""A receiver of webhooks that keeps what it was sent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.wait import until


def answer_of(status: int, *fields: str, body: str = "") -> bytes:
    """Return a response with this status, these headers and this body."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *fields, "", body]
    return "\r\n".join(lines).encode()


class Receiver:
    """Keeps what was sent, and answers each request with the next answer, or the last one."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.open = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection until it is closed."""
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *fields = head.rstrip().split("\r\n")
                headers = {name: value for name, _, value in (f.partition(": ") for f in fields)}
                body = await reader.readexactly(int(headers["Content-Length"]))
                self.requests.append((line, headers, body))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                writer.write(answer)
                if b"close" in answer:
                    break
        except (EOFError, OSError):
            pass
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self.open -= 1

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        """Listen on 127.0.0.1 while the block runs, and give the port."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self.port
        finally:
            server.close()
            await until(lambda: self.open == 0, "all connections are closed")
