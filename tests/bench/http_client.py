"""A lean HTTP client for rates: it takes much less processor time than what it measures.

Requests are encoded before the clock starts. Each connection sends its next one when the answer
before is complete; of an answer only the status and the length are read.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.api import PATH

_PATIENCE_S = 300


@dataclass(frozen=True)
class Posted:
    """What was answered: statuses, the seconds that each request took, and those of all."""

    statuses: Counter[int]
    seconds: list[float]
    elapsed_s: float

    @property
    def rate(self) -> float:
        """Return the requests a second."""
        return len(self.seconds) / self.elapsed_s


class _Connection(asyncio.Protocol):
    """Sends requests that all connections share, one after the other."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.statuses: list[int] = []
        self.seconds: list[float] = []
        self._requests = requests
        self._answer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, ends, body = self._answer.partition(b"\r\n\r\n")
        if not ends or len(body) < _length(head):
            return
        self.seconds.append(time.perf_counter() - self._sent)
        self.statuses.append(int(head[9:12]))
        self._answer = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("closed before the last answer"))

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self.ended.set_result(None)
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)


def post(url: str, requests: int, connections: int) -> Posted:
    """Post so many different intents; raises ``OSError`` where a connection is lost."""
    return asyncio.run(
        _post(url, iter([_request(number) for number in range(requests)]), connections)
    )


async def _post(url: str, requests: Iterator[bytes], count: int) -> Posted:
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [
        await loop.create_connection(
            lambda: _Connection(requests), parts.hostname or "", parts.port or 80
        )
        for _ in range(count)
    ]
    connections = [connection for _, connection in opened]
    async with asyncio.timeout(_PATIENCE_S):
        await asyncio.gather(*(connection.ended for connection in connections))
    elapsed_s = time.perf_counter() - started
    statuses = Counter(status for connection in connections for status in connection.statuses)
    seconds = [one for connection in connections for one in connection.seconds]
    return Posted(statuses, seconds, elapsed_s)


def _request(number: int) -> bytes:
    intent = {"type": "bench", "producer": "load", "recipients": [f"u{number}"]}
    body = json.dumps(intent | {"data": {"turn": number}}).encode()
    head = (
        f"POST {PATH} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*head, "", ""]).encode() + body


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
