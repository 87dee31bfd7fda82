"""The lateness of routes that become due at a steady rate of 25, 50 and 80 % of the peak.

The peak is the highest rate that is still on time in the same run; rates are tried downwards, each
twice. The daemon of the commit before has its turn at half of the same rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.bench.arrivals import Arrivals
from tests.bench.bench_run import BenchRun, before
from tests.bench.drain import drain
from tests.bench.figures import Figures
from tests.bench.lateness import ON_TIME_MS, Lateness
from tests.bench.load import Load

_SHARES = (25, 50, 80)
_STEPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
_FEW_STEPS = (0.9, 0.7, 0.5, 0.3, 0.15)

Trial = Callable[[float], Lateness]


def measure(bench: BenchRun, figures: Figures) -> None:
    """Try rates that were accepted beforehand."""
    with bench.server() as server:
        arrivals = Arrivals(server, bench.size(5, 1))
        for _ in range(bench.runs):
            highest = drain(server, Load(bench.size(100_000, 20_000))).rate
            peak = find(bench, figures, arrivals.beforehand, highest)
            if peak is not None and bench.base:
                late = arrivals.beforehand(peak / 2, checkout=bench.base)
                late.add_to(figures, before("late at 50 % of the peak"))


def find(bench: BenchRun, figures: Figures, trial: Trial, highest: float) -> float | None:
    """Return the peak, if there is one, and add how late routes come at shares of it."""
    steps = _FEW_STEPS if bench.quick else _STEPS
    peak = _peak(trial, (highest * step for step in steps))
    if peak is None:
        figures.note(f"no rate down to {highest * steps[-1]:,.0f} routes/s was on time")
        return None
    figures.add("peak", peak, "routes/s")
    figures.note(f"on time: at most 1 % of the routes later than {ON_TIME_MS} ms")
    for share in (50,) if bench.quick else _SHARES:
        trial(peak * share / 100).add_to(figures, f"late at {share} % of the peak")
    return peak


def _peak(trial: Trial, rates: Iterable[float]) -> float | None:
    return next((rate for rate in rates if _on_time(trial, rate)), None)


def _on_time(trial: Trial, rate: float) -> bool:
    """Try a rate again before it is given up: a machine may stumble over something else."""
    return any(trial(rate).on_time for _ in range(2))
