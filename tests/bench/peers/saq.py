"""SAQ: asyncio, each slot of its concurrency takes jobs with BLMOVE."""

from __future__ import annotations

from tests.bench.peers.environments import PythonEnvironment
from tests.bench.peers.peer import Peer

# `concurrency` is its one setting for throughput; 10, 32 and 100 differ little, 32 is the cheapest
# by processor time per job. The extra `hiredis` is its documentation's advice; a `ttl` of -1 keeps
# no results. It imports typing_extensions without requiring it (0.26.4).
SAQ = Peer(
    name="SAQ",
    environment=PythonEnvironment("saq", "saq[redis,hiredis]", "typing_extensions", "uvloop"),
    script="saq_worker",
    settings="concurrency 32, no results, hiredis, uvloop",
)
