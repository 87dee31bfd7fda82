"""``python -m tests.bench.http_bodies``: `/healthz` beside four of the largest legal bodies.

An API is started with a server of Redis; for each kind of body four connections post it over and
over, while one more asks `/healthz` again and again. What is measured is how long that waits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from tests.bench.figures import percentile
from tests.bench.machine import machine
from tests.support.api import INTENT, PATH, api_on
from tests.support.servers import running, servers_found

_AT_A_TIME: Final = 4
_PAUSE_S: Final = 0.002
_SMALL: Final = {"type": "bench", "producer": "load", "recipients": ["u1"]}


def bodies() -> dict[str, tuple[str, bytes]]:
    """Return what is posted by its name: the path, and about the most that is taken there."""
    lists = INTENT | {"data": {"x": [[[[]]]] * 16_000}}
    numbers = INTENT | {"data": {"x": [1] * 262_000}}
    fan_out = INTENT | {"recipients": [f"user-{number}" for number in range(250_000)]}
    fields = {f"name-{number}": number for number in range(200)}
    batch = [_SMALL | {"data": {"x": fields}} for _ in range(1000)]
    nested: list[object] = [_SMALL | {"data": {"x": [[[]]] * 20}} for _ in range(1000)]
    refused = b'{"data":' + b"[" + b"[]," * 1_200_000 + b"1]}"
    return {
        "none": ("", b""),
        "data of 64,000 lists": (PATH, _packed(lists)),
        "data of 262,000 numbers": (PATH, _packed(numbers)),
        "250,000 recipients": (PATH, _packed(fan_out)),
        "1,000 intents of 200 fields": (f"{PATH}:batch", _packed(batch)),
        "1,000 intents of 60 lists": (f"{PATH}:batch", _packed(nested)),
        "refused: 1,200,000 lists": (PATH, refused),
    }


def _packed(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Beside:
    """One measurement: four who post, and one who asks whether the process answers."""

    def __init__(self, url: str, path: str, body: bytes) -> None:
        """Name the API and what is posted there."""
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._path, self._body = path, body
        self.statuses: dict[int, int] = {}
        self.seconds: list[float] = []

    async def run(self, seconds: float) -> None:
        """Post and ask for so many seconds."""
        until = time.monotonic() + seconds
        posting = [self._post(until) for _ in range(_AT_A_TIME)] if self._path else []
        await asyncio.gather(self._ask(until), *posting)

    async def _post(self, until: float) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self._body)}\r\n\r\n"
        )
        while time.monotonic() < until:
            writer.write(head.encode() + self._body)
            status = await _status(reader)
            self.statuses[status] = self.statuses.get(status, 0) + 1
        writer.close()

    async def _ask(self, until: float) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        while time.monotonic() < until:
            started = time.perf_counter()
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await _status(reader)
            self.seconds.append(time.perf_counter() - started)
            await asyncio.sleep(_PAUSE_S)
        writer.close()


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    return int(head.split(b" ", 2)[1])


def _line(name: str, size: int, beside: Beside) -> str:
    told: Mapping[int, int] = beside.statuses
    in_ms = [percentile(beside.seconds, share) * 1000 for share in (0.5, 0.99, 0.999)]
    figures = " | ".join(f"{ms:.1f}" for ms in (*in_ms, max(beside.seconds) * 1000))
    answers = ", ".join(f"{count} × {status}" for status, count in sorted(told.items())) or "–"
    return f"| {name} | {size / 1e6:.1f} MB | {answers} | {figures} |"


def main() -> None:
    """Measure each kind of body and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    binary = next(reversed(servers_found().values()))
    for name, value in machine(binary).items():
        print(f"{name}: {value}")
    print("| body, four at a time | size | answers | p50 ms | p99 ms | p99.9 ms | most ms |")
    print("|---|---|---|---|---|---|---|")
    with running(binary) as found, api_on(found) as api:
        for what, (path, body) in bodies().items():
            beside = Beside(api.url, path, body)
            asyncio.run(beside.run(options.seconds))
            print(_line(what, len(body), beside), flush=True)


if __name__ == "__main__":
    main()
