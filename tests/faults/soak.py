"""``make soak``: random faults from a seed beside a load, for as many minutes as one likes.

It ends with what was lost, doubled or early, how long the slowest recovery took, and how the memory
and the open files of a daemon that lives all the while have grown. A run long enough to tell growth
from noise fails over a daemon that has grown.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

import redis

from tests.faults.support.chaos import SUICIDAL, Chaos, Stopwatch
from tests.faults.support.fault_run import FaultRun, fault_run_on
from tests.faults.support.load import Shape
from tests.faults.test_storm import ALL_FAULTS
from tests.support.daemons import daemon_on
from tests.support.memory import Memory
from tests.support.seed import VARIABLE, seed_of_run
from tests.support.servers import servers_found
from tests.support.wait import wait_until

#: Some 60 routes a second: the history of an hour still fits into memory.
_SHAPE: Final = Shape(recipients=10, pause_s=0.3)
_SETTLED_MS: Final = 30 * 86_400_000
_SAMPLE_S: Final = 5.0
#: The first share of a run, in which a process takes what it needs.
_WARM_UP: Final = 0.25
#: From so many minutes on growth is told from noise: of memory by the hour, of files in the run.
_TELLING_MINUTES: Final = 30
_MOST_GROWTH_MB: Final = 1.0
_MOST_GROWTH_FILES: Final = 0.5


@dataclass
class Series:
    """Samples of one figure of a process: seconds, value."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    def slope_per_hour(self) -> float:
        """Return the growth after the warm-up, by least squares."""
        settled = self.samples[int(len(self.samples) * _WARM_UP) :]
        if len(settled) < 2:
            return 0.0
        mean_x = sum(x for x, _ in settled) / len(settled)
        mean_y = sum(y for _, y in settled) / len(settled)
        spread = sum((x - mean_x) ** 2 for x, _ in settled)
        return 3600 * sum((x - mean_x) * (y - mean_y) for x, y in settled) / spread

    def growth(self) -> float:
        """Return by how much it is usually more in the last third than in the first settled one."""
        settled = [value for _, value in self.samples[int(len(self.samples) * _WARM_UP) :]]
        third = len(settled) // 3
        return median(settled[-third:]) - median(settled[:third]) if third else 0.0

    def __str__(self) -> str:
        values = [value for _, value in self.samples] or [0.0]
        return f"{values[0]:.1f} at first, {max(values):.1f} at most, {values[-1]:.1f} at last"


class Witness:
    """A daemon that nobody harms: it meets every fault of the server, and must not grow."""

    def __init__(self, pid: int) -> None:
        self.memory, self.files = Series(), Series()
        self._pid = pid
        self._next = 0.0

    def look(self) -> None:
        """Take a sample, every few seconds at most."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SAMPLE_S
            self.memory.samples.append((now, Memory(self._pid).resident))
            self.files.samples.append((now, len(list(Path(f"/proc/{self._pid}/fd").iterdir()))))

    def has_grown(self, minutes: float) -> bool:
        """Tell whether it grew, where a run of so many *minutes* is long enough to tell (I11)."""
        return minutes >= _TELLING_MINUTES and (
            self.memory.slope_per_hour() > _MOST_GROWTH_MB
            or self.files.growth() > _MOST_GROWTH_FILES
        )


class Soak(Chaos):
    """Faults for a given time, with what each outage of the server cost."""

    def __init__(self, fault_run: FaultRun, witness: Witness, minutes: float) -> None:
        super().__init__(fault_run, SUICIDAL)
        self.recoveries: list[float] = [0.0]
        self._witness = witness
        self._watch = Stopwatch(minutes * 60)
        self._told = 0

    def go_on(self) -> None:
        """Break one thing after the other until the time is up."""
        self.run(ALL_FAULTS, self._is_over, pause_s=2.0)

    def kill_server(self) -> None:
        """Kill the server, start it again, and see how long publishing takes to go on."""
        super().kill_server()
        self._recovered()

    def freeze_server(self) -> None:
        """Freeze the server, let it go on, and see how long publishing takes to go on."""
        super().freeze_server()
        self._recovered()

    def _recovered(self) -> None:
        since, length = time.monotonic(), self._published()
        wait_until(lambda: self._published() > length, "publishing goes on")
        self.recoveries.append(time.monotonic() - since)

    def _published(self) -> int:
        try:
            return self._fault_run.deployment.total("published")
        except redis.RedisError:
            return sys.maxsize

    def _is_over(self) -> bool:
        self._witness.look()
        if sum(self.counts.values()) >= self._told + 50:
            self._told = sum(self.counts.values())
            _say(f"{self._told} faults, {self._fault_run.journal.routes:,} routes accepted")
        return self._watch.is_over


def soak(name: str, minutes: float, stack: ExitStack) -> int:
    """Run it, and say what it came to; 1 if a promise was broken."""
    rng = Random(f"{seed_of_run()}:soak")
    binary = servers_found()[name]
    fault_run = stack.enter_context(
        fault_run_on(binary, rng, road="both", retention__settled_ms=_SETTLED_MS)
    )
    for _ in range(3):
        fault_run.daemon(SUICIDAL)
    settings = fault_run.daemons[0].settings
    alone = stack.enter_context(daemon_on(fault_run.server, **settings))
    alone.wait_for("daemon working")
    witness = Witness(alone.process.pid)
    chaos = Soak(fault_run, witness, minutes)
    with fault_run.load(_SHAPE).running(sys.maxsize):
        chaos.go_on()
    chaos.run({"look_on": 1}, lambda: fault_run.is_over)
    report = fault_run.report()
    lines = [
        f"{report}",
        f"faults: {', '.join(f'{n} × {what}' for what, n in sorted(chaos.counts.items()))}",
        f"slowest recovery after the server was back: {max(chaos.recoveries):.2f} s",
        f"memory of a daemon, MB: {witness.memory}; {witness.memory.slope_per_hour():+.2f} an hour",
        f"its open files: {witness.files}; {witness.files.growth():+.1f} in the run",
        *(f"broken: {violation}" for violation in report.violations[:20]),
        *(["broken: the daemon has grown"] if witness.has_grown(minutes) else []),
        *(["broken: the daemon has ended"] if alone.process.poll() is not None else []),
    ]
    for line in lines:
        _say(line)
    return int(any(line.startswith("broken: ") for line in lines))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    found = list(servers_found())
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--server", choices=found, default=found[-1])
    options = parser.parse_args(arguments)
    _say(f"{VARIABLE}={seed_of_run()}: {options.minutes:g} minutes on {options.server}")
    with ExitStack() as stack:
        return soak(options.server, options.minutes, stack)


if __name__ == "__main__":
    sys.exit(main())
