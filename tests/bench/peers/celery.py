"""Celery with Redis as its broker."""

from __future__ import annotations

from tests.bench.peers.environments import PythonEnvironment
from tests.bench.peers.peer import Peer

# Its guide to optimizing wants a prefetch multiplier of 64 or 128 for many short tasks, and no
# results and no rate limits where none are needed. Of the pools that are one worker, `solo` is the
# cheapest by processor time per job; threads and one forked process cost more. What workers tell
# each other is off, since there is one.
CELERY = Peer(
    name="Celery",
    environment=PythonEnvironment("celery", "celery[redis]", "hiredis"),
    script="celery_worker",
    settings="solo pool, prefetch multiplier 128, no results, no rate limits, no gossip, hiredis",
    command=(
        *("celery", "-A", "celery_worker", "worker", "--pool", "solo", "--loglevel", "WARNING"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ),
)
