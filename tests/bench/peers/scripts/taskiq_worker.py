"""taskiq with taskiq-redis, in its own environment."""
# mypy: ignore-errors
# The peer is installed in its own environment only, where mypy does not look.

import asyncio

from common import URL, done, enqueue_all, payload
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(URL).with_serializer(ORJSONSerializer())


@broker.task(task_name="job")
async def job(number, text):
    done(number)


def fill():
    text = payload().decode()

    async def run():
        # The start makes the group of consumers, before the first job.
        await broker.startup()
        await enqueue_all(lambda number: job.kiq(number, text))
        await broker.shutdown()

    asyncio.run(run())
