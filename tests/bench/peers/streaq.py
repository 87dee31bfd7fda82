"""streaQ: asyncio on Redis streams, tasks prefetched in batches."""

from __future__ import annotations

from tests.bench.peers.environments import PythonEnvironment
from tests.bench.peers.peer import Peer

# Its documentation names `concurrency` and `prefetch`; the defaults of 16 are the cheapest by
# processor time per job, 32 and 100 cost more. Results expire at once, its log of every task is
# silenced, and its event loop is uvloop, an option of its own.
STREAQ = Peer(
    name="streaQ",
    environment=PythonEnvironment("streaq", "streaq", "uvloop"),
    script="streaq_worker",
    settings="concurrency 16, prefetch 16, no results, silent, uvloop",
)
