"""How many intents a second one reader takes in: ``python -m tests.bench.intents``.

A server of its own, a full stream, one ``galaxy-notify intake``; timed from its tenth part on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from tests.support.intake import KEYS, intake_on, left
from tests.support.servers import Server, running, servers_found
from tests.support.wait import wait_until

_TEXT = "x" * 150


def _fill(client: Any, number: int) -> None:
    pipeline = client.pipeline(transaction=False)
    for n in range(number):
        data = {"game": "g1", "turn": n, "text": _TEXT}
        intent = {"type": "game.turn.ready", "producer": "lobby", "recipients": [f"user-{n}"]}
        pipeline.xadd(KEYS.stream, {"intent": json.dumps({**intent, "data": data})})
        if n % 1000 == 0:
            pipeline.execute()
    pipeline.execute()


def _rate(server: Server, number: int) -> float:
    """Return the intents per second of one reader that empties the stream."""
    server.flush()
    with server.client() as client:
        _fill(client, number)
        with intake_on(server, log__level="warning"):
            wait_until(lambda: left(client) < 0.9 * number, "it reads", 60)
            begun, rest = time.perf_counter(), left(client)
            wait_until(lambda: not left(client), "all is read", 300)
            return rest / (time.perf_counter() - begun)


def main() -> None:
    """Measure, and print a line for each server."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--intents", type=int, default=30_000)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    for name, binary in servers_found().items():
        with running(binary) as server:
            rates = [_rate(server, given.intents) for _ in range(given.rounds)]
        print(f"{name}: {statistics.median(rates):,.0f} intents/s of {given.rounds} rounds")


if __name__ == "__main__":
    main()
