"""arq, in its own environment."""
# mypy: ignore-errors
# The peer is installed in its own environment only, where mypy does not look.

import asyncio

import uvloop
from arq import create_pool, run_worker
from arq.connections import RedisSettings
from common import URL, done, enqueue_all, payload

_REDIS = RedisSettings.from_dsn(URL)


async def job(ctx, number, text):
    done(number)


class WorkerSettings:
    functions = (job,)
    redis_settings = _REDIS
    max_jobs = 100
    poll_delay = 0.01
    keep_result = 0
    log_results = False


def fill():
    text = payload()

    async def run():
        pool = await create_pool(_REDIS)
        await enqueue_all(lambda number: pool.enqueue_job("job", number, text))

    asyncio.run(run())


def work():
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    run_worker(WorkerSettings)
