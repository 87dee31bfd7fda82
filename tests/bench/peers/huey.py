"""Huey: threads that each take one job at a time with BRPOP, and acknowledge none."""

from __future__ import annotations

from tests.bench.peers.environments import PythonEnvironment
from tests.bench.peers.peer import Peer

# Its documentation raises `--workers` for throughput; threads, since there is to be one process.
# Two overlap the wait for Redis, three and more contend. No results, no periodic tasks, and no log
# of every task (`--quiet`).
HUEY = Peer(
    name="Huey",
    environment=PythonEnvironment("huey", "huey[redis]", "hiredis"),
    script="huey_worker",
    settings="2 threads, no results, no periodic tasks, quiet, hiredis",
    command=(
        *("huey.bin.huey_consumer", "huey_worker.huey", "--worker-type", "thread"),
        *("--workers", "2", "--quiet", "--no-periodic"),
    ),
)
