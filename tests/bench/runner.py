"""Runs workloads, each within its time; the failure of one is told and does not end the rest."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.bench.bench_run import BenchRun
from tests.bench.figures import Figures
from tests.bench.machine import machine
from tests.bench.registry import Workload
from tests.bench.svg import shown


class OutOfTime(BaseException):
    """A workload took longer than it may; no handler of errors within it stops this."""


@dataclass
class Result:
    """What a workload gave, and under which circumstances."""

    workload: str
    figures: Figures
    about: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return what is stored."""
        return self.about | self.figures.as_json()

    @classmethod
    def from_json(cls, workload: str, stored: dict[str, Any]) -> Result:
        """Read what is stored."""
        about = {k: v for k, v in stored.items() if k not in ("figures", "notes")}
        return cls(workload, Figures.from_json(stored), about)


def run(workloads: Iterable[Workload], bench: BenchRun) -> Iterator[Result]:
    """Run workloads one after the other, printing the figures of each."""
    for workload in workloads:
        print(f"{workload.name}: {workload.title}", flush=True)
        result = _run(workload, bench)
        for figure in result.figures:
            low, high = figure.spread
            spread = f"{shown(low)} … {shown(high)}" if low != high else ""
            print(f"    {figure.name:<44}{shown(figure.median):>12} {figure.unit:<18}{spread}")
        for note in result.figures.notes:
            print(f"    ({note})")
        if result.about["error"]:
            print(f"    FAILED: {result.about['error']}")
        print(f"    {result.about['seconds']} s\n", flush=True)
        yield result


def _run(workload: Workload, bench: BenchRun) -> Result:
    figures, started, error = Figures(), time.monotonic(), ""
    limit = workload.quick_s if bench.quick else workload.limit_s
    at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with _within(limit):
            workload.measure(bench, figures)
    except OutOfTime:
        error = f"not done within {limit} s: what is shown is what there was"
    except Exception as failure:
        traceback.print_exc()
        error = f"{type(failure).__name__}: {failure}"
    about = {
        "at": at,
        "seconds": round(time.monotonic() - started),
        "runs": bench.runs,
        "quick": bench.quick,
        "error": error,
        "base": bench.base.name if bench.base else "",
        "machine": machine(bench.binary),
    }
    return Result(workload.name, figures, about)


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    def over(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
