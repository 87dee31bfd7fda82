"""When a client whose stream ended is to connect again."""

from __future__ import annotations

import asyncio
import re

import pytest

from galaxy_notify.realtime.connection import Connection, retry_ms
from galaxy_notify.realtime.sse import SseConnection
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.realtime.websocket import WebSocketConnection


@pytest.mark.parametrize("reason", ["rotate", "expired", "shutdown"])
def test_client__that_was_spread_comes_back_at_once(reason: str) -> None:
    """A rolling restart leaves nobody without a stream for more than half a second by itself."""
    assert all(50 <= retry_ms(reason) <= 500 for _ in range(200))


@pytest.mark.parametrize(
    ("reason", "least", "most"),
    [("", 1000, 5000), ("slow", 1000, 5000), ("too_many", 20_000, 60_000)],
)
def test_client__that_nobody_spread_is_spread_by_its_pause(
    reason: str, least: int, most: int
) -> None:
    """Those who lost a gateway at the same moment do not come to the next one together."""
    found = {retry_ms(reason) for _ in range(200)}
    assert least <= min(found) < max(found) <= most
    assert max(found) - min(found) > (most - least) / 2


class _Written(asyncio.Transport):
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += data

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("kind", [SseConnection, WebSocketConnection])
def test_client__that_is_sent_away_from_a_stop_does_not_come_back_at_once(
    kind: type[Connection],
) -> None:
    """It would only be sent away again until the gateway has ended."""

    async def sent_away() -> _Written:
        transport = _Written()
        connection = kind(Stream("u1", BufferLimits(9, 9999)), len, id)
        connection.start(transport, ())
        connection.end("shutdown", retry_ms())
        return transport

    for _ in range(50):
        written = asyncio.run(sent_away())
        (found,) = re.findall(rb'\{"reason":"shutdown","retry_ms":([0-9]+)\}', written.data)
        assert int(found) >= 1000
        assert written.is_closed
