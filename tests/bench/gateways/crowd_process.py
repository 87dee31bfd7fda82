"""Many clients in one process: they connect, receive, and check what they got.

``python -m tests.bench.gateways.crowd_process PLAN`` reads one command a line and answers each with
a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count as counted
from typing import Any

from tests.bench.figures import percentile
from tests.bench.gateways.badges import BadgeClient
from tests.bench.gateways.clients import Client, SocketIoClient, SseClient, WebSocketClient
from tests.bench.gateways.events import Numbers
from tests.bench.gateways.frames import events_in, last_cursor, offsets_in

_TOGETHER = 100
_PATIENCE_S = 60
_LOOK_S = 0.01
#: What comes a second time comes within this.
_AFTER_S = 0.5
_KINDS: dict[str, type[Client]] = {
    "sse": SseClient,
    "badge": BadgeClient,
    "websocket": WebSocketClient,
    "socketio": SocketIoClient,
}


@dataclass(frozen=True)
class Plan:
    """Where so many clients connect; each user has *connections* / *users* of them."""

    kind: str
    ports: list[int]
    connections: int
    users: int
    #: Whether clients connect to all ports in turn, or all to the first one.
    spread: bool = True

    def port(self, number: int) -> int:
        """Return where a client connects; those of a user are spread as well."""
        at = number // self.users + number % self.users if self.spread else 0
        return self.ports[at % len(self.ports)]


class CrowdProcess:
    """All clients of a process."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.clients: list[Client] = []
        self.received = self.resumed = self.resets = 0
        self._ready = 0
        self._losses: dict[int, float] = {}
        self._back_s: list[float] = []
        self._returning: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._stays_away = False

    async def connect(self, more: int) -> dict[str, Any]:
        """Connect so many more."""
        first = len(self.clients)
        self.clients += [_KINDS[self.plan.kind](self, first + n) for n in range(more)]
        for at in range(first, first + more, _TOGETHER):
            some = self.clients[at : at + _TOGETHER]
            await asyncio.gather(*(self._open(one, self.plan.port(one.number)) for one in some))
            await self._until_ready(at + len(some))
        return {"connected": self._ready}

    async def expect(self, first: int, events: int) -> dict[str, Any]:
        """Wait for all events of these numbers, check that each came once, and forget them."""
        numbers = Numbers(first, events, self.plan.users)
        wanted = sum(len(numbers.of_user(n % self.plan.users)) for n in range(len(self.clients)))
        await self._until(lambda: self.received >= wanted, f"{wanted} events")
        await asyncio.sleep(_AFTER_S)
        took, last_us = [], 0
        for client in self.clients:
            found = [one for at, data in client.chunks for one in events_in(at, data)]
            _check(client, [number for number, _ in found], numbers)
            took += [us for _, us in found]
            last_us = max(last_us, *(at for at, _ in client.chunks), 0)
            client.cursor = _last_cursor(client)
            client.chunks.clear()
        self.received = 0
        shares = {
            f"p{share * 100:g}": percentile(took, share) / 1000 for share in (0.5, 0.99, 0.999)
        }
        return {"frames": len(took), "last_s": last_us / 1e6, **shares}

    async def leave(self) -> dict[str, Any]:
        """Close all connections; the clients stay away until they are to come back."""
        self._stays_away = True
        for client in self.clients:
            client.transport.abort()
        await self._until(lambda: not self._ready, "all have left")
        return {"connected": self._ready}

    async def come_back(self) -> dict[str, Any]:
        """Have clients that left connect again, to the next process each."""
        self._stays_away = False
        for client in self.clients:
            self._begin_return(client)
        return {"connected": self._ready}

    async def returned(self, clients: int) -> dict[str, Any]:
        """Wait until so many clients that lost their connection are back."""
        await self._until(lambda: len(self._back_s) >= clients, f"{clients} are back")
        lost_at = min(self._losses.values())
        answer = {
            "last_s": lost_at + max(self._back_s),
            "resumed": self.resumed,
            "resets": self.resets,
            "failures": self._failures,
        }
        shares = {f"p{s * 100:g}": percentile(self._back_s, s) for s in (0.5, 0.99)}
        return answer | shares | {"max": max(self._back_s)}

    async def _until_ready(self, count: int) -> None:
        await self._until(lambda: self._ready >= count, f"{count} are connected")

    # --- what clients call ---

    def became_ready(self, client: Client) -> None:
        """Count a client, for the first time or again."""
        self._ready += 1
        if client.number in self._losses:
            self._back_s.append(time.time() - self._losses[client.number])

    def lost(self, client: Client, *, was_ready: bool) -> None:
        """Have a client connect to the next process at once."""
        self._ready -= was_ready
        self._losses.setdefault(client.number, time.time())
        if not self._stays_away:
            self._begin_return(client)

    def _begin_return(self, client: Client) -> None:
        task = asyncio.get_running_loop().create_task(self._return(client))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def _return(self, client: Client) -> None:
        ports = self.plan.ports
        at = ports.index(self.plan.port(client.number))
        for attempt in counted():
            if attempt:
                self._failures += 1
                await asyncio.sleep(_LOOK_S)
            with suppress(OSError):
                await self._open(client, ports[(at + 1) % len(ports)])
                break

    async def _open(self, client: Client, port: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: client, "127.0.0.1", port)

    async def _until(self, is_done: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not is_done():
            if time.monotonic() > deadline:
                about = f"{self._ready} connected, {self.received} events, {self.resets} resets"
                raise RuntimeError(f"not within {_PATIENCE_S} s: {what} ({about})")
            await asyncio.sleep(_LOOK_S)


def _check(client: Client, found: list[int], numbers: Numbers) -> None:
    """Raise unless a client got each event of its user once, and ours without a hole."""
    expected = numbers.of_user(client.number % numbers.users)
    if sorted(found) != list(expected):
        raise RuntimeError(f"{client.user}: {len(found)} events instead of {len(expected)}")
    offsets = [n for _, data in client.chunks for n in offsets_in(data)]
    if offsets and offsets != list(range(offsets[0], offsets[0] + len(offsets))):
        raise RuntimeError(f"{client.user}: offsets with a hole, or out of order")


def _last_cursor(client: Client) -> str:
    chunks = client.chunks[-1:]
    return last_cursor(chunks[0][1]) if chunks else client.cursor


async def _serve(crowd: CrowdProcess) -> None:
    """Do each command as it comes."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        name, *numbers = json.loads(line)
        try:
            answer = await getattr(crowd, name)(*numbers)
        except RuntimeError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


def main() -> None:
    """Serve the commands of the benchmark."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_serve(CrowdProcess(Plan(**json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
