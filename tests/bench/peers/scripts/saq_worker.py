"""SAQ, in its own environment."""
# mypy: ignore-errors
# The peer is installed in its own environment only, where mypy does not look.

import asyncio

import uvloop
from common import URL, done, enqueue_all, payload
from saq import Queue
from saq.runner import run as run_worker

queue = Queue.from_url(URL)


async def job(ctx, *, number, text):
    done(number)


settings = {"queue": queue, "functions": [job], "concurrency": 32}


def fill():
    text = payload().decode()
    asyncio.run(enqueue_all(lambda number: queue.enqueue("job", number=number, text=text, ttl=-1)))


def work():
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    run_worker("saq_worker.settings")
