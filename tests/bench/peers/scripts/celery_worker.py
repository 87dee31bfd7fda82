"""Celery with Redis as its broker, in its own environment."""
# mypy: ignore-errors
# The peer is installed in its own environment only, where mypy does not look.

from celery import Celery
from common import JOBS, URL, done, payload

app = Celery(broker=URL)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=128,
    worker_disable_rate_limits=True,
    broker_connection_retry_on_startup=True,
)


@app.task(name="job")
def job(number, text):
    done(number)


def fill():
    text = payload().decode()
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(JOBS):
            job.apply_async((number, text), producer=producer)
