"""``make bench-check``: a few ratios, compared with those of the last accepted run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bench.bench_run import BenchRun
from tests.bench.drain import add_work, drain, drain_floor, drain_sequential
from tests.bench.figures import Figures, ratio
from tests.bench.fill import Load
from tests.bench.machine import machine
from tests.bench.workloads.accept import BARE, bare_set, batch, rate, single
from tests.bench.workloads.consumers import bare, consumed

_FILE = Path(__file__).parent / "guards.json"
_FALL = 0.8
_ROUTES = 20_000

#: What is guarded: a figure over another one; all of them are the better the higher they are.
RATIOS = {
    "drain, single: × the sequential loop": ("single", "sequential loop"),
    "drain, fan-out of 100: × single": ("fan-out", "single"),
    "server time of XADD alone: × of a route": ("floor: server", "single: server"),
    "append-only everysec: × without": ("everysec", "single"),
    "accept, single: × bare SET": ("accept", BARE),
    "accept, batch: × bare SET": ("accept batch", BARE),
    "consumer: × bare reading": ("consumer", "bare reading"),
}


def check(bench: BenchRun, *, accept: bool) -> int:
    """Measure and compare, or store the ratios as the accepted ones; 1 where one has fallen."""
    measured = _ratios(_measure(bench))
    if accept:
        document = {"machine": machine(bench.binary), "ratios": measured}
        _FILE.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        print(f"accepted, in {_FILE.name}:")
        for name, value in measured.items():
            print(f"    {name:<44}{value:8.3g}")
        return 0
    accepted: dict[str, Any] = json.loads(_FILE.read_text())["ratios"]
    fallen = [name for name, value in measured.items() if value < accepted[name] * _FALL]
    for name, value in measured.items():
        word = "FALLEN by more than a fifth" if name in fallen else "ok"
        print(f"{name:<44}{value:8.3g}   accepted {accepted[name]:8.3g}   {word}")
    if fallen:
        print(f"\nbench-check FAILED: {len(fallen)} of {len(measured)} ratios have fallen")
    return 1 if fallen else 0


def _ratios(figures: Figures) -> dict[str, float]:
    return {
        name: float(f"{ratio(figures[over], figures[under]):.3g}")
        for name, (over, under) in RATIOS.items()
    }


def _measure(bench: BenchRun) -> Figures:
    figures = Figures()
    with bench.server() as server, bench.server(appendonly="yes") as durable:
        for _ in range(bench.runs):
            loop = drain_sequential(server, _ROUTES // 20)
            figures.add("sequential loop", loop.rate, "routes/s")
            add_work(figures, "floor", drain_floor(server, _ROUTES * 2))
            add_work(figures, "fan-out", drain(server, Load(_ROUTES // 100, fan_out=100)))
            add_work(figures, "everysec", drain(durable, Load(_ROUTES)))
            add_work(figures, "single", drain(server, Load(_ROUTES)))
            figures.add("bare reading", bare(server, _ROUTES), "events/s")
            figures.add("consumer", consumed(server, _ROUTES, 1), "events/s")
            figures.add(BARE, rate(bare_set, server, 3000), "notifications/s")
            figures.add("accept", rate(single, server, 3000), "notifications/s")
            figures.add("accept batch", rate(batch, server, _ROUTES), "notifications/s")
    return figures
