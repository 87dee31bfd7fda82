"""Bare requests: aiohttp posts a body to endpoints in turn, and does nothing else.

A process of its own: ``python -m tests.bench.hooks.bare COUNT TOGETHER URL…``. Prints the seconds
that all of them took, without the first of each endpoint, which connects.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence

import aiohttp

from galaxy_notify.model.ids import random_id
from galaxy_notify.webhooks.signature import message_id, new_secret, signed_headers
from tests.bench.texts import texts

TEXT_BYTES = 200
_JSON = {"Content-Type": "application/json"}


def body_of(number: int) -> bytes:
    """Return the body that the webhook of a notification has."""
    bodies, name = texts(TEXT_BYTES), random_id(time.time_ns() // 1_000_000)
    document = {
        "notification_id": name,
        "event_id": f"{name}/hooks:user-{number}",
        "type": "bench.turn",
        "severity": "info",
        "title": "Your turn",
        "body": bodies[number % len(bodies)],
        "data": {"turn": number},
        "created_at_ms": time.time_ns() // 1_000_000,
    }
    return json.dumps(document, separators=(",", ":")).encode()


async def post(count: int, together: int, urls: Sequence[str]) -> float:
    """Post so many, each signed beforehand; return the seconds that it took."""
    secret, now = new_secret(), int(time.time())
    requests: list[tuple[str, bytes, dict[str, str]]] = []
    for number in range(count):
        body = body_of(number)
        headers = signed_headers([secret], message_id(f"bare {number}"), now, body) | _JSON
        requests.append((urls[number % len(urls)], body, headers))
    rest = iter(requests)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await _lane(session, iter(requests[: len(urls)]))
        began = time.perf_counter()
        await asyncio.gather(*(_lane(session, rest) for _ in range(together)))
        return time.perf_counter() - began


async def _lane(
    session: aiohttp.ClientSession, requests: Iterator[tuple[str, bytes, dict[str, str]]]
) -> None:
    for url, body, headers in requests:
        async with session.post(url, data=body, headers=headers) as response:
            await response.read()
            response.raise_for_status()


if __name__ == "__main__":
    print(asyncio.run(post(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))
