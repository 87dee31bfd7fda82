"""dramatiq, in its own environment."""
# mypy: ignore-errors
# The peer is installed in its own environment only, where mypy does not look.

import dramatiq
from common import JOBS, URL, done, payload
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=URL))


@dramatiq.actor
def job(number, text):
    done(number)


def fill():
    text = payload().decode()
    for number in range(JOBS):
        job.send(number, text)
