"""arq: asyncio, one Redis transaction after the other for each job."""

from __future__ import annotations

from tests.bench.peers.environments import PythonEnvironment
from tests.bench.peers.peer import Peer

# `max_jobs` and `poll_delay` are what its documentation names for throughput: it sleeps between
# two polls, so at the default of 0.5 s it would wait more than work. Results are neither kept nor
# logged, as nobody asks for them. More jobs at once bring nothing: starting them is sequential.
ARQ = Peer(
    name="arq",
    environment=PythonEnvironment("arq", "arq", "hiredis", "uvloop"),
    script="arq_worker",
    settings="max_jobs 100, poll_delay 10 ms, no results, hiredis, uvloop",
)
