"""dramatiq: threads fed by one consumer that fetches in batches."""

from __future__ import annotations

from tests.bench.peers.environments import PythonEnvironment
from tests.bench.peers.peer import Peer

# A larger prefetch halves the processor time per job (by default two messages per thread are
# fetched at once). Two threads, because a no-op job never waits: the default of 8 only makes them
# contend, and a single one would wait for each acknowledgement.
DRAMATIQ = Peer(
    name="dramatiq",
    environment=PythonEnvironment("dramatiq", "dramatiq[redis]", "hiredis"),
    script="dramatiq_worker",
    settings="1 process, 2 threads, prefetch 256, hiredis",
    command=("dramatiq", "dramatiq_worker", "--processes", "1", "--threads", "2"),
    environ=(("dramatiq_queue_prefetch", "256"),),
)
