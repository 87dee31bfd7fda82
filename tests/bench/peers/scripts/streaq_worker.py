"""streaQ, in its own environment."""
# mypy: ignore-errors
# The peer is installed in its own environment only, where mypy does not look.

import asyncio

from common import URL, chunks, done, payload
from streaq import Worker

worker = Worker(URL, concurrency=16, prefetch=16, anyio_kwargs={"use_uvloop": True})


@worker.task(silent=True, ttl=0)
async def job(number, text):
    done(number)


def fill():
    text = payload()

    async def run():
        async with worker:
            for numbers in chunks(1000):
                await worker.enqueue_many([job.enqueue(n, text) for n in numbers])

    asyncio.run(run())


def work():
    worker.run_sync()
