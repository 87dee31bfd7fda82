"""A client of a stream that connects again and again, and judges everything that it is sent."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from random import Random
from typing import Any, NamedTuple

from galaxy_notify.model.cursor import BEGINNING, Cursor, parse_cursor
from tests.support.gateways import token
from tests.support.streams import PATH

#: What a connection may fail with; the client then tries another gateway.
_LOST = (OSError, EOFError, asyncio.LimitOverrunError)
#: A client that finds nobody tries again, before a server has told it when.
_FIRST_RETRY_MS = 1000
#: Longer than any run; an application would give its page a new token in time.
_TOKEN_S = 3600


class Frame(NamedTuple):
    """One event of a text/event-stream, and the reconnection time that stood in it."""

    kind: str
    id: str
    data: Any
    retry_ms: int | None


def _frame(block: bytes) -> Frame:
    fields: dict[str, str] = {}
    for line in block.decode().split("\n"):
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
    retry = fields.get("retry")
    data = json.loads(fields["data"]) if "data" in fields else None
    kind, cursor = fields.get("event", ""), fields.get("id", "")
    return Frame(kind, cursor, data, int(retry) if retry else None)


class Record:
    """What one client was sent, and whatever it must never have been sent."""

    def __init__(self) -> None:
        #: Numbers of the events in their order, and when each came (monotonic clock).
        self.numbers: list[int] = []
        self.came_at: dict[int, float] = {}
        self.place = BEGINNING
        self.kinds: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()
        self.byes: Counter[str] = Counter()
        self.gaps = self.doubles = self.reversed = 0
        self.violations: list[str] = []
        self._since_reset: set[str] = set()
        self._owes_reset = False

    def hello(self, frame: Frame, sent: str) -> None:
        """Judge the first message of a connection, to which the client *sent* a cursor."""
        if frame.data["resumed"]:
            if frame.id != sent:
                self.violations.append(f"resumed at {frame.id}, asked for {sent}")
        else:
            self._owes_reset = bool(sent)
            self.place = parse_cursor(frame.id) or BEGINNING

    def take(self, frame: Frame) -> None:
        """Judge any other message."""
        self.kinds[frame.kind] += 1
        if self._owes_reset and frame.kind not in ("reset", "status"):
            self.violations.append(f"place lost, and then: {frame.kind}")
        if frame.kind == "notification":
            self._notification(frame)
        elif frame.kind == "reset":
            self._owes_reset = False
            self.resets[frame.data["reason"]] += 1
            self._since_reset.clear()
            self.place = parse_cursor(frame.data["cursor"]) or BEGINNING
        elif frame.kind == "bye":
            self.byes[frame.data["reason"]] += 1

    def _notification(self, frame: Frame) -> None:
        cursor = parse_cursor(frame.id)
        if cursor is None or cursor.offset != frame.data["offset"]:
            self.violations.append(f"not a place: {frame.id}")
            return
        own = self.place
        if own != BEGINNING and cursor.epoch != own.epoch:
            self.violations.append(f"{cursor} behind {own}, without a reset")
        elif cursor.offset <= own.offset:
            self.reversed += 1
        elif cursor.offset > own.offset + 1:
            self.gaps += 1
        self.place = cursor
        notification_id = frame.data["notification_id"]
        self.doubles += notification_id in self._since_reset
        self._since_reset.add(notification_id)
        number = int(notification_id, 16)
        self.numbers.append(number)
        self.came_at.setdefault(number, time.monotonic())


class LiveClient:
    """A user at a browser: connects to any of the gateways, and resumes behind what it has."""

    def __init__(self, user: str, ports: Sequence[int], rng: Random) -> None:
        self.user = user
        self.ports = list(ports)
        self.record = Record()
        #: The id of the last message, as a browser keeps it.
        self.cursor = ""
        self.token = token(user, exp=time.time() + _TOKEN_S)
        self.is_connected = False
        self.port = 0
        #: For how long it had no stream, each time (s).
        self.silences: list[float] = []
        self._rng = rng
        self._retry_ms = _FIRST_RETRY_MS
        self._lost_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def come(self) -> None:
        """Connect, and again after each loss, until `leave`."""
        self._task = asyncio.ensure_future(self._run())

    async def leave(self) -> None:
        """Close the connection; `come` resumes."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self.is_connected = False
        self._lost_at = 0.0

    def raise_defect(self) -> None:
        """Raise what ended the client, if anything did."""
        if self._task is not None and self._task.done():
            self._task.result()

    @property
    def place(self) -> Cursor:
        """Behind which event the client is."""
        return self.record.place

    async def _run(self) -> None:
        while True:
            with suppress(*_LOST):
                await self._stay(*await self._open())
            if self.is_connected:
                self._lost_at = time.monotonic()
            self.is_connected = False
            await asyncio.sleep(self._retry_ms / 1000)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to any gateway that listens, as a load balancer does."""
        for port in self._rng.sample(self.ports, len(self.ports)):
            with suppress(ConnectionRefusedError):
                self.port = port
                return await asyncio.open_connection("127.0.0.1", port)
        raise ConnectionRefusedError("no gateway listens")

    async def _stay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not (head := await self._head()):
                return
            resume = f"Last-Event-ID: {self.cursor}\r\n" if self.cursor else ""
            writer.write(f"{head}{resume}\r\n".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                self.record.violations.append(answer.decode().partition("\r\n")[0])
                return
            async for frame in _frames(reader):
                self._take(frame)
        finally:
            writer.close()

    async def _head(self) -> str:
        """Return how the client asks for its stream; empty where it may not now."""
        return f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n"

    def _take(self, frame: Frame) -> None:
        if frame.retry_ms is not None:
            self._retry_ms = frame.retry_ms
        if frame.kind == "hello":
            self.record.hello(frame, self.cursor)
            if self._lost_at:
                self.silences.append(time.monotonic() - self._lost_at)
                self._lost_at = 0.0
            self.is_connected = True
        elif frame.kind:
            self.record.take(frame)
        if frame.id:
            self.cursor = frame.id
        elif frame.kind == "reset":
            self.cursor = frame.data["cursor"]


class TicketClient(LiveClient):
    """A client that sends no header of its own with its stream: it gets a ticket each time."""

    async def _head(self) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            asked = f"POST /v1/me/tickets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}"
            writer.write(f"{asked}\r\nConnection: close\r\n\r\n".encode())
            answer = (await reader.read()).decode()
        finally:
            writer.close()
        head, _, body = answer.partition("\r\n\r\n")
        if head.startswith("HTTP/1.1 503"):
            (after,) = re.findall(r"(?i)\r\nretry-after: (\d+)", head)
            self._retry_ms = int(after) * 1000
            return ""
        if not head.startswith("HTTP/1.1 200"):
            self.record.violations.append(head.partition("\r\n")[0])
            return ""
        ticket = json.loads(body)["ticket"]
        return f"GET {PATH}?ticket={ticket} HTTP/1.1\r\nHost: x\r\n"


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[Frame]:
    """Yield the events of a stream until the connection ends."""
    while True:
        block = (await reader.readuntil(b"\n\n"))[:-2]
        if not block.startswith(b":"):
            yield _frame(block)
