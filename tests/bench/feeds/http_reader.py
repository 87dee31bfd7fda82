"""What a bell reads at a gateway, over one connection: `READS`, each with a pause behind it."""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence

import jwt

from tests.bench.feeds.reader import PAUSE_S, WARM, Took
from tests.bench.gateways.clients import AUDIENCE, SECRET

#: *Nothing* is an answer without a user and without Postgres.
READS = {
    "list": "/v1/me/feed",
    "unread": "/v1/me/feed?unread=true",
    "counts": "/v1/me/feed/counts",
    "nothing": "/healthz",
}


def read(port: int, users: Sequence[str], number: int) -> Took:
    """Read so many times in each way, for each user in turn; the first times are left out."""
    took: dict[str, list[float]] = {name: [] for name in READS}
    headers = [_headers(user) for user in users]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for turn in range(WARM + number):
        for name, path in READS.items():
            began = time.perf_counter()
            connection.request("GET", path, headers=headers[turn % len(users)])
            answer = connection.getresponse()
            body = answer.read()
            seconds = time.perf_counter() - began
            if answer.status != http.client.OK:
                raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
            if turn >= WARM:
                took[name].append(seconds)
            time.sleep(PAUSE_S)
    connection.close()
    return took


def _headers(user: str) -> dict[str, str]:
    now = int(time.time())
    claims = {"sub": user, "aud": AUDIENCE, "iat": now, "exp": now + 3000}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}
