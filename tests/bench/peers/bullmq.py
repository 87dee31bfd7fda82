"""BullMQ on Node, with ioredis."""

from __future__ import annotations

from tests.bench.peers.environments import NodeEnvironment
from tests.bench.peers.peer import Peer

# Its documentation calls a concurrency of 100 to 300 standard; 100 costs no more processor time
# per job than 200 or 300. Finished jobs are removed at once, as its guide to production advises
# (none kept), and jobs are added in bulk. Pipelining by ioredis (`enableAutoPipelining`) costs
# more. The first few thousand jobs are slow until Node has compiled: measure with many.
BULLMQ = Peer(
    name="BullMQ",
    environment=NodeEnvironment("bullmq", "bullmq", "ioredis"),
    script="bullmq_worker",
    settings="concurrency 100, no finished jobs kept, ioredis",
)
