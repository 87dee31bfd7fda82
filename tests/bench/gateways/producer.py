"""Producers: a backlog at once, or a steady rate from a process of its own.

``python -m tests.bench.gateways.producer URL WAY RATE NUMBERS`` hands in each event at its time,
whether those before were answered or not. The ways *stream* and *adapter* write entries, each with
the time at which it was written. *accept* accepts notifications, each with the time at which it was
to be accepted.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict

import redis

from galaxy_notify import AsyncNotifier, Intent
from tests.bench.gateways.events import (
    Numbers,
    Written,
    adapter_entry,
    fields_of,
    gateway_entry,
    user_of,
)
from tests.bench.processes import Running, running

STREAM, ADAPTER, ACCEPT = "stream", "adapter", "accept"
_ENTRIES = {STREAM: gateway_entry, ADAPTER: adapter_entry}
_STEP_S = 0.001
_TOGETHER = 1000


def write_all(client: redis.Redis, written: Written, numbers: Numbers) -> None:
    """Write a backlog as fast as possible."""
    pipeline = client.pipeline(transaction=False)
    for number in numbers:
        stream, fields = written(number, numbers.users)
        pipeline.xadd(stream, fields)
        if len(pipeline) == _TOGETHER:
            pipeline.execute()
    pipeline.execute()


def producing(url: str, way: str, rate: int, numbers: Numbers) -> AbstractContextManager[Running]:
    """Run a producer; it ends by itself."""
    arguments = (url, way, str(rate), json.dumps(asdict(numbers)))
    return running("tests.bench.gateways.producer", *arguments)


def _write(url: str, written: Written, rate: int, numbers: Numbers) -> None:
    with redis.Redis.from_url(url) as client:
        for some in _in_time(numbers, rate, time.sleep):
            pipeline = client.pipeline(transaction=False)
            for number in some:
                stream, fields = written(number, numbers.users)
                pipeline.xadd(stream, fields)
            pipeline.execute()


async def _accept(url: str, rate: int, numbers: Numbers) -> None:
    started, accepting = time.time(), set[asyncio.Task[object]]()
    async with AsyncNotifier.from_url(url) as notifier:

        async def accept(number: int) -> None:
            receipt = await notifier.accept(_intent(number, numbers, started, rate))
            if receipt.status != "accepted":
                raise RuntimeError(str(receipt))

        next_number, end = numbers.first, numbers.first + numbers.count
        while next_number < end:
            due = min(end, numbers.first + int((time.time() - started) * rate) + 1)
            for number in range(next_number, due):
                accepting.add(asyncio.ensure_future(accept(number)))
            next_number = max(next_number, due)
            await asyncio.sleep(_STEP_S)
        await asyncio.gather(*accepting)


def _intent(number: int, numbers: Numbers, started: float, rate: int) -> Intent:
    at_s = started + (number - numbers.first) / rate
    fields = fields_of(number)
    fields["data"] = {"turn": number, "at_us": int(at_s * 1e6)}
    return Intent(producer="bench", recipients=[user_of(number, numbers.users)], **fields)


def _in_time(numbers: Numbers, rate: int, sleep: Callable[[float], object]) -> Iterator[range]:
    """Return the events whose time has come, step by step."""
    started, at = time.monotonic(), numbers.first
    end = numbers.first + numbers.count
    while at < end:
        due = min(end, numbers.first + int((time.monotonic() - started) * rate) + 1)
        if due > at:
            yield range(at, due)
            at = due
        sleep(_STEP_S)


def main() -> None:
    """Produce what the command line says."""
    url, way, rate, numbers = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
    if way == ACCEPT:
        asyncio.run(_accept(url, rate, Numbers(**numbers)))
    else:
        _write(url, _ENTRIES[way], rate, Numbers(**numbers))


if __name__ == "__main__":
    main()
