"""What the scripts of all peers share; runs inside their environments, so it imports none of us."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Awaitable, Callable

URL = os.environ["BENCH_URL"]
JOBS = int(os.environ["BENCH_JOBS"])
_LANES = 16
_counts = itertools.count(1)
_seen = bytearray(JOBS)
_EACH_ONCE = b"\x01" * JOBS


def done(number: int) -> None:
    """Count a job: all that the no-op job of a peer does; threads may call it together."""
    _seen[number] += 1
    count = next(_counts)
    if count == 1 or count >= JOBS:
        mark = b"." if count == 1 or (count == JOBS and _seen == _EACH_ONCE) else b"!"
        with open(os.environ["BENCH_MARKS"], "ab", buffering=0) as marks:
            marks.write(mark)


def payload() -> bytes:
    """Return the payload that every job carries."""
    return sys.stdin.buffer.read()


def chunks(size: int) -> list[range]:
    """Return the numbers of the jobs to enqueue at a time, at most *size*."""
    return [range(start, min(start + size, JOBS)) for start in range(0, JOBS, size)]


async def enqueue_all(enqueue: Callable[[int], Awaitable[object]]) -> None:
    """Enqueue all jobs, a few at a time."""

    async def lane(first: int) -> None:
        for number in range(first, JOBS, _LANES):
            await enqueue(number)

    await asyncio.gather(*map(lane, range(_LANES)))
