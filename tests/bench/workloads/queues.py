"""Queues side by side: galaxy-notify, BullMQ and bunqueue do the same jobs with the same text.

Adding: one producer process, 64 adds in flight, or in bulk (by 1,000; ours is one call of
`accept_many`). Doing: a backlog is done by one and by four worker processes with a no-op handler.
For ours that is the whole way: one daemon publishes while one or four consumers handle, which is
more than the others do, whose jobs go from the broker to a worker at once; *published* is the
daemon alone, until the events are in the stream. Promptness is measured from outside until the
handler begins: *picked up* from when a job was to be added (open loop, at a steady rate), *delayed*
from the time at which it was due. Every trial with workers fails unless each job was done exactly
once. In memory, then the adding and doing again with a file: Redis with `appendfsync everysec`,
bunqueue with SQLite as it comes (write-ahead log, `synchronous = NORMAL`, writes collected for
10 ms).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.bench_run import BenchRun
from tests.bench.consume import BATCHES, can_batches
from tests.bench.drain import drain
from tests.bench.figures import Figures
from tests.bench.load import Load
from tests.bench.peers import PeerError
from tests.bench.peers.bullmq import BULLMQ
from tests.bench.peers.bunqueue import BUNQUEUE
from tests.bench.queues import trials
from tests.bench.queues.brokers import Broker, BullMQ, Bunqueue, Ours
from tests.support.servers import Server

_RATE = 1000
_UNIT = "jobs/s"


def measure(bench: BenchRun, figures: Figures) -> None:
    """Ask every queue the same questions, in turns."""
    with bench.server() as server, bench.server(appendonly="yes") as durable:
        memory, files = _brokers(server, figures), _brokers(durable, figures, durable=True)
        for _ in range(bench.runs):
            _throughput(bench, figures, memory, "")
            _promptness(bench, figures, memory)
            _throughput(bench, figures, files, ", with a file")
    figures.note(f"promptness: {_RATE:,} jobs a second, the first fifth left out")


def _brokers(server: Server, figures: Figures, *, durable: bool = False) -> list[Broker]:
    found: list[Broker] = [Ours(server)]
    for name, environment in (("BullMQ", BULLMQ.environment), ("bunqueue", BUNQUEUE)):
        try:
            environment.prepare()
        except PeerError as error:
            figures.note(f"{name}: not installed: {error}")
            continue
        broker = BullMQ(server) if name == "BullMQ" else Bunqueue(durable=durable)
        figures.note(f"{name}: {environment.version()}; {broker.settings}")
        found.append(broker)
    return found


def _throughput(bench: BenchRun, figures: Figures, brokers: list[Broker], suffix: str) -> None:
    """Ask all the same question before the next one: the machine changes from minute to minute."""
    jobs = bench.size(50_000, 5_000)
    for verb, what in (("add", "added, 64 in flight"), ("bulk", "added in bulk")):
        for broker in brokers:
            with _noting(figures, f"{broker.name}: {what}{suffix}") as name:
                figures.add(name, trials.added(broker, jobs, verb), _UNIT)
    for workers in (1, 4):
        for broker in brokers:
            if isinstance(broker, Ours):
                _ours(figures, broker, jobs, workers, suffix)
            with _noting(figures, f"{broker.name}: done by {workers}{suffix}") as name:
                figures.add(name, trials.done(broker, jobs, workers), _UNIT)


def _ours(figures: Figures, ours: Ours, jobs: int, workers: int, suffix: str) -> None:
    """Measure what only this package has: publishing alone, and batches of events."""
    if workers == 1:
        work = drain(ours.server, Load(jobs))
        figures.add(f"{ours.name}: published{suffix}", work.rate, _UNIT)
    if can_batches():
        rate = trials.done(Ours(ours.server, BATCHES), jobs, workers)
        figures.add(f"{ours.name}: done by {workers}, run_batches{suffix}", rate, _UNIT)


def _promptness(bench: BenchRun, figures: Figures, brokers: list[Broker]) -> None:
    jobs = bench.size(10_000, 2_000)
    for what, trial in (("picked up", trials.picked_up), ("delayed", trials.delayed)):
        for broker in brokers:
            with _noting(figures, f"{broker.name}: {what}, late") as name:
                found = trial(broker, jobs, _RATE)
                figures.add(f"{name} p50", found.p50, "ms")
                figures.add(f"{name} p99", found.p99, "ms")


@contextmanager
def _noting(figures: Figures, name: str) -> Iterator[str]:
    """Note where another queue fails, and go on; a failure of ours ends the workload."""
    try:
        yield name
    except (PeerError, subprocess.SubprocessError) as error:
        if name.startswith(Ours.name):
            raise
        figures.note(f"{name}: failed: {error}")
