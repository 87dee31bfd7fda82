"""Huey, in its own environment."""
# mypy: ignore-errors
# The peer is installed in its own environment only, where mypy does not look.

from common import JOBS, URL, done, payload
from huey import RedisHuey

huey = RedisHuey("bench", url=URL, results=False)


@huey.task()
def job(number, text):
    done(number)


def fill():
    text = payload()
    for number in range(JOBS):
        job(number, text)
