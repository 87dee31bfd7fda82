"""Accepts a load in one way: ``python -m tests.bench.acceptor URL WAY LOAD``, the load as JSON.

Prints the seconds that it took. Other commits run this module too: it uses only what the package
exports. The deployment must be there already.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any

from galaxy_notify import AsyncNotifier, Intent, Notifier
from tests.bench.load import Load

_CHUNK = 20_000
#: How many calls of an AsyncNotifier are on their way together.
TOGETHER = (1, 8, 64)


def together(calls: int) -> str:
    """Return the name of the way with so many calls at a time."""
    return f"async, {calls} at a time"


def _single(url: str, intents: Sequence[Intent]) -> float:
    with Notifier.from_url(url) as notifier:
        notifier.accept(intents[0])
        started = time.perf_counter()
        for intent in intents:
            notifier.accept(intent)
        return time.perf_counter() - started


def _batch(url: str, intents: Sequence[Intent]) -> float:
    with Notifier.from_url(url) as notifier:
        notifier.accept(intents[0])
        started = time.perf_counter()
        _check(notifier.accept_many(intents))
        return time.perf_counter() - started


def _async_batch(url: str, intents: Sequence[Intent]) -> float:
    async def accept() -> float:
        async with AsyncNotifier.from_url(url) as notifier:
            await notifier.accept(intents[0])
            started = time.perf_counter()
            _check(await notifier.accept_many(intents))
            return time.perf_counter() - started

    return asyncio.run(accept())


def _together(calls: int, url: str, intents: Sequence[Intent]) -> float:
    async def accept() -> float:
        async with AsyncNotifier.from_url(url) as notifier:
            await notifier.accept(intents[0])
            rest = iter(intents)

            async def lane() -> None:
                for intent in rest:
                    await notifier.accept(intent)

            started = time.perf_counter()
            await asyncio.gather(*(lane() for _ in range(calls)))
            return time.perf_counter() - started

    return asyncio.run(accept())


def _fill(url: str, load: Load) -> float:
    """Accept in chunks, and nothing beside: the receipts of all would not fit into memory."""
    started, rest = time.perf_counter(), load.intents()
    with Notifier.from_url(url) as notifier:
        while chunk := list(islice(rest, _CHUNK)):
            _check(notifier.accept_many(chunk))
    return time.perf_counter() - started


def _check(receipts: Iterable[Any]) -> None:
    refused = [receipt for receipt in receipts if receipt.status != "accepted"]
    if refused:
        raise RuntimeError(f"{len(refused)} of the load refused: {refused[0]}")


WAYS: dict[str, Callable[[str, Sequence[Intent]], float]] = {
    "single": _single,
    "batch": _batch,
    **{together(calls): partial(_together, calls) for calls in TOGETHER},
    "async batch": _async_batch,
}


def main() -> None:
    """Accept as the arguments say; each way but ``fill`` accepts one more, to connect."""
    url, way, stored = sys.argv[1:]
    load = Load(**json.loads(stored))
    took = _fill(url, load) if way == "fill" else WAYS[way](url, list(load.intents()))
    print(json.dumps({"seconds": took}))


if __name__ == "__main__":
    main()
