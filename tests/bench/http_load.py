"""``python -m tests.bench.http_load``: many connections post one intent after the other.

A server of Redis and an API are started for it; each request is answered before the next one of
its connection is sent. At the end what was answered is compared with what Redis counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httpx

from tests.bench.figures import percentile
from tests.bench.machine import machine
from tests.support.api import PATH, api_on
from tests.support.servers import Server, running, servers_found
from tests.support.wait import until

_PATIENCE_S: Final = 60
# Longer than the client bridges by itself.
_AWAY_S: Final = 3


@dataclass
class Told:
    """What a run was answered: statuses, the seconds each request took, and how long all did."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    accepted: int = 0
    elapsed_s: float = 0.0
    cpu_s: float = 0.0

    def lines(self) -> list[str]:
        """Return what to print."""
        in_ms = [(share, percentile(self.seconds, share) * 1000) for share in (0.5, 0.99, 0.999)]
        counted = ", ".join(f"{count:,} × {status}" for status, count in self.statuses.items())
        return [
            f"answers: {counted}",
            f"rate: {self.accepted / self.elapsed_s:,.0f} accepted a second",
            "latency: " + ", ".join(f"p{share * 100:g} {ms:.1f} ms" for share, ms in in_ms),
            f"slowest: {max(self.seconds) * 1000:.1f} ms",
            f"the API's processor time: {self.cpu_s / len(self.seconds) * 1e6:.0f} us a request",
        ]


class Load:
    """Posts so many intents over so many connections, each until it is accepted."""

    def __init__(self, url: str, requests: int, connections: int) -> None:
        """Name the API, and how much to ask of it."""
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._left = iter(range(requests))
        self._connections = connections
        self.told = Told()

    async def run(self) -> Told:
        """Post them all and return what was answered."""
        started = time.perf_counter()
        await asyncio.gather(*(self._post_all() for _ in range(self._connections)))
        self.told.elapsed_s = time.perf_counter() - started
        return self.told

    async def _post_all(self) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        for number in self._left:
            status, again = 0, ""
            while status not in (200, 201):
                if again:
                    await asyncio.sleep(0.05)
                started = time.perf_counter()
                writer.write(_request(number, again))
                status, body = await asyncio.wait_for(_answer(reader), _PATIENCE_S)
                self.told.seconds.append(time.perf_counter() - started)
                self.told.statuses[status] += 1
                again = json.loads(body).get("notification_id", "")
            self.told.accepted += 1
        writer.close()


def _request(number: int, again: str) -> bytes:
    intent = {"type": "bench", "producer": "load", "recipients": [f"u{number}"]}
    body = json.dumps(intent | {"data": {"turn": number}}).encode()
    query = f"?notification_id={again}" if again else ""
    head = (
        f"POST {PATH}{query} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*head, "", ""]).encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(size)


async def outage(load: Load, server: Server, at: int) -> None:
    """Kill Redis once so many were accepted, and start it again a few seconds later."""
    await until(lambda: load.told.accepted >= at, "enough is accepted", _PATIENCE_S)
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(_AWAY_S)
    await asyncio.to_thread(server.start)


def measure(
    server: Server, requests: int, connections: int, *, kill_at: int = 0
) -> tuple[Told, int]:
    """Run a load, with an outage in it where that is asked for; return what Redis counted, too."""

    async def both(url: str) -> Told:
        load = Load(url, requests, connections)
        disturbing = [outage(load, server, kill_at)] if kill_at else []
        await asyncio.gather(load.run(), *disturbing)
        return load.told

    with api_on(server) as api, api.client() as client:
        before = _cpu_s(client)
        told = asyncio.run(both(api.url))
        told.cpu_s = _cpu_s(client) - before
        totals = client.get("/v1/status").json()["totals"]
    return told, totals["accepted"]


def _cpu_s(client: httpx.Client) -> float:
    text = client.get("/metrics").text
    return float(text.partition("\nprocess_cpu_seconds_total ")[2].partition("\n")[0])


def main() -> int:
    """Measure and print; 1 where an answer was an error, or the counts differ."""
    options = _parser().parse_args()
    binary = next(reversed(servers_found().values()))
    for name, value in machine(binary).items():
        print(f"{name}: {value}")
    print(f"{options.requests:,} requests over {options.connections} connections", flush=True)
    kill_at = options.requests // 2 if options.kill else 0
    with running(binary, appendonly="yes" if kill_at else "no") as server:
        told, counted = measure(server, options.requests, options.connections, kill_at=kill_at)
    print("\n".join(told.lines()))
    print(f"accepted, as Redis counts: {counted:,}")
    errors = {status for status in told.statuses if status >= 400} - ({503} if kill_at else set())
    return 1 if errors or counted != options.requests else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.http_load", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--kill", action="store_true", help="kill Redis half-way")
    return parser


if __name__ == "__main__":
    sys.exit(main())
