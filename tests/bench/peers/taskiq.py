"""taskiq with the stream broker of taskiq-redis, the one that its documentation shows."""

from __future__ import annotations

from tests.bench.peers.environments import PythonEnvironment
from tests.bench.peers.peer import Peer

# `--max-prefetch` is what its documentation advises for high rates, 100 being what the broker
# reads at once, and `--no-parse` spares the type casts that the job does not need. uvloop and
# orjson are extras of its own. The list broker, which loses the jobs of a worker that dies, is
# no faster.
TASKIQ = Peer(
    name="taskiq",
    environment=PythonEnvironment(
        "taskiq",
        "taskiq[uv,orjson]",
        "taskiq-redis",
        "hiredis",
        packages=("taskiq", "taskiq-redis"),
    ),
    script="taskiq_worker",
    settings="stream broker, 100 tasks at once, prefetch 100, no parsing, orjson, hiredis, uvloop",
    command=(
        *("taskiq", "worker", "taskiq_worker:broker", "--workers", "1", "--no-parse"),
        *("--max-async-tasks", "100", "--max-prefetch", "100", "--log-level", "WARNING"),
    ),
)
