"""The questions that each queue is asked, each on an empty broker.

Producers and workers are processes of their own. Each job must be done once, in every trial that
has workers; otherwise the trial fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import percentile
from tests.bench.peers.environments import PeerError
from tests.bench.peers.measuring import Worker, running
from tests.bench.queues.brokers import Broker
from tests.bench.queues.records import Record, Records, opened_records, rate
from tests.bench.texts import texts

_PATIENCE_S = 300
_TEXT_BYTES = 200
#: The first jobs find compilers and connections cold.
_COLD = 0.2
#: From now until the first delayed job: more than adding all of them takes.
_AHEAD_MS = 5000


@dataclass(frozen=True)
class Promptness:
    """How late jobs began, in ms: the middle one, and what 99 % do not exceed."""

    p50: float
    p99: float


def added(broker: Broker, jobs: int, verb: str) -> float:
    """Return the jobs a second that one producer adds: ``add``, 64 in flight, or ``bulk``."""
    with broker.fresh() as url:
        return jobs / float(_produce(broker, url, verb, jobs)["seconds"])


def done(broker: Broker, jobs: int, workers: int) -> float:
    """Return the jobs a second that so many workers do of a backlog, from the first to the last."""
    with broker.fresh() as url, opened_records() as records:
        _produce(broker, url, "bulk", jobs)
        with _working(broker, url, records, workers) as working, broker.publisher(url):
            return rate(records.wait_for_jobs(working, jobs, _PATIENCE_S))


def picked_up(broker: Broker, jobs: int, per_second: float) -> Promptness:
    """Return how long after its time a job begins that is added at a steady rate, open loop.

    A job that is added late because the queue is slow counts from when it was to be added.
    """
    with (
        _ready(broker) as (url, records, working),
        _producing(broker, url, "pace", jobs, per_second) as producer,
    ):
        began = records.wait_for_jobs(working, jobs, _PATIENCE_S)
        started_ms = float(_answer(producer)["started_ms"])
    return _promptness(began, started_ms, per_second)


def delayed(broker: Broker, jobs: int, per_second: float) -> Promptness:
    """Return how late delayed jobs begin that become due at a steady rate."""
    with _ready(broker) as (url, records, working):
        due_ms = int(time.time() * 1000) + _AHEAD_MS
        _produce(broker, url, "delay", jobs, per_second, due_ms)
        if time.time() * 1000 > due_ms:
            raise PeerError("the first job was due before the last was added")
        began = records.wait_for_jobs(working, jobs, _PATIENCE_S)
    return _promptness(began, due_ms, per_second)


@contextmanager
def _ready(broker: Broker) -> Iterator[tuple[str, Records, list[Worker]]]:
    """Run an empty broker with one worker that waits for jobs."""
    with (
        broker.fresh() as url,
        opened_records() as records,
        broker.publisher(url),
        _working(broker, url, records, 1, prompt=True) as working,
    ):
        records.wait_for_ready(working, 1, _PATIENCE_S)
        yield url, records, working


def _promptness(began: list[Record], first_ms: float, per_second: float) -> Promptness:
    cold = int(len(began) * _COLD)
    late = [r.at_ms - first_ms - r.number * 1000 / per_second for r in began if r.number >= cold]
    if min(late) < -1:
        raise PeerError(f"a job began {-min(late):.0f} ms early")
    return Promptness(percentile(late, 0.5), percentile(late, 0.99))


def _environ(broker: Broker, url: str, *, prompt: bool = False, **own: object) -> Mapping[str, str]:
    named = {f"BENCH_{name}": str(value) for name, value in own.items()}
    fixed = {"BENCH_URL": url, "BENCH_JOBS": "0", "BENCH_RATE": "1", "BENCH_DUE_MS": "0"}
    return {**os.environ, **fixed, **named, **broker.environ(prompt=prompt)}


@contextmanager
def _working(
    broker: Broker, url: str, records: Records, count: int, *, prompt: bool = False
) -> Iterator[list[Worker]]:
    environ = _environ(broker, url, prompt=prompt, RECORDS=records.path)
    with ExitStack() as stack:
        command = broker.command("work")
        yield [stack.enter_context(running(command, broker.folder, environ)) for _ in range(count)]


def _produce(
    broker: Broker, url: str, verb: str, jobs: int, per_second: float = 1, due_ms: int = 0
) -> dict[str, Any]:
    with _producing(broker, url, verb, jobs, per_second, due_ms) as producer:
        return _answer(producer)


@contextmanager
def _producing(
    broker: Broker, url: str, verb: str, jobs: int, per_second: float, due_ms: int = 0
) -> Iterator[subprocess.Popen[str]]:
    environ = _environ(broker, url, JOBS=jobs, RATE=per_second, DUE_MS=due_ms)
    process = subprocess.Popen(
        broker.command(verb),
        cwd=broker.folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin
        process.stdin.write(texts(_TEXT_BYTES)[0])
        process.stdin.close()
        process.stdin = None
        yield process
    finally:
        process.kill()
        process.wait()


def _answer(producer: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = producer.communicate(timeout=_PATIENCE_S)
    if producer.returncode:
        raise PeerError(f"adding failed: {_reason(err or out)}")
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


def _reason(output: str) -> str:
    """Return the error in what a program printed, without the stack that leads to it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower()]
    return [*lines[-1:], *errors][-1][:200] if lines else "no output"
