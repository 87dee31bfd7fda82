"""``make bench-check``: this checkout and another commit in turns, on one server.

A rate says nothing on another machine, and a ratio to a different kind of work little more: both
move with the machine. Two versions that do the same work one right after the other move together.
The floor, XADD in batches, is measured in each run too, as the yardstick of the printed table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from tests.bench.acceptor import together
from tests.bench.bench_run import BenchRun
from tests.bench.checkout import HERE, Checkout
from tests.bench.consuming import consumed_own
from tests.bench.drain import Daemon, drain, drain_floor
from tests.bench.figures import Figures, ratio
from tests.bench.gateways.sides import Gateways
from tests.bench.gateways.trials import Layout, full_speed
from tests.bench.http_rate import post_to_api
from tests.bench.load import Load
from tests.bench.svg import shown
from tests.bench.workloads.accept import accept_rate
from tests.support.servers import Server

FLOOR = "floor"
_LEAST = 0.8
_ROUTES, _EVENTS, _FEW = 60_000, 20_000, 3_000


class Guard(NamedTuple):
    """Some work that must not become slower; it returns a rate."""

    name: str
    rate: Callable[[Server, Checkout], float]
    #: What a version has that can do this work: a path in its source.
    needs: str = "galaxy_notify"


GUARDS = (
    Guard("drain, single recipients", lambda s, c: _drained(s, Load(_ROUTES), Daemon({}, c))),
    Guard(
        "drain, fan-out of 100",
        lambda s, c: _drained(s, Load(_ROUTES // 50, fan_out=100), Daemon({}, c)),
    ),
    Guard(
        "drain, json encoder",
        lambda s, c: _drained(s, Load(_ROUTES), Daemon({"GATEWAY__ENCODER": "json"}, c)),
    ),
    Guard("accept, one at a time", lambda s, c: accept_rate(s, "single", _FEW, c)),
    Guard("accept, 64 at a time", lambda s, c: accept_rate(s, together(64), _FEW, c)),
    Guard("accept, batch", lambda s, c: accept_rate(s, "batch", _EVENTS, c)),
    Guard("consumer", lambda s, c: consumed_own(s, _EVENTS, c)),
    Guard("HTTP, 64 connections", lambda s, c: _posted(s, _FEW, c)),
    Guard(
        "gateway, 200 connections", lambda s, c: _streamed(s, _EVENTS, c), "galaxy_notify/realtime"
    ),
)


def check(bench: BenchRun, base: Checkout) -> int:
    """Measure and compare; 1 where this checkout is slower by more than a fifth.

    What seems to have fallen is measured as often again before it counts: one slow moment of the
    machine is not a slower program.
    """
    figures = Figures()
    guards = [guard for guard in GUARDS if (base.root / guard.needs).exists()]
    with bench.server() as server:
        for number in range(bench.runs):
            figures.add(FLOOR, drain_floor(server, _ROUTES * 2).rate, "routes/s")
            _measure(figures, server, base, guards, number)
        doubtful = [guard for guard in guards if guard.name in fallen(figures)]
        for number in range(bench.runs if doubtful else 0):
            _measure(figures, server, base, doubtful, number)
    print("\n".join(table(figures, base.name)))
    down = fallen(figures)
    if down:
        print(f"\nbench-check FAILED: {len(down)} of {len(guards)} fell by more than a fifth")
    return 1 if down else 0


def fallen(figures: Figures) -> list[str]:
    """Return what is slower than the other commit by more than a fifth."""
    return [name for name in _names(figures) if _ratio(figures, name) < _LEAST]


def table(figures: Figures, base: str) -> Iterator[str]:
    """Lay the comparison out for a terminal."""
    floor, down = figures[FLOOR], fallen(figures)
    yield f"{'':<28}{'this checkout':>14}{base:>14}{'× base':>9}{'× floor':>9}{'pairs':>7}"
    for name in _names(figures):
        ours, theirs = figures[name], figures[_of_base(name)]
        word = "FALLEN by more than a fifth" if name in down else "ok"
        yield (
            f"{name:<28}{shown(ours.median):>14}{shown(theirs.median):>14}"
            f"{_ratio(figures, name):>9.2f}{ours.median / floor.median:>9.3f}"
            f"{len(ours.values):>7}  {word}"
        )
    yield f"{'floor: XADD in batches':<28}{shown(floor.median):>14}"


def _measure(
    figures: Figures, server: Server, base: Checkout, guards: Iterable[Guard], number: int
) -> None:
    """Measure each once with both; who comes first changes from one run to the next."""
    order: Sequence[Checkout] = (HERE, base) if number % 2 else (base, HERE)
    for guard in guards:
        for checkout in order:
            name = guard.name if checkout == HERE else _of_base(guard.name)
            figures.add(name, guard.rate(server, checkout), "per second")


def _drained(server: Server, load: Load, daemon: Daemon) -> float:
    return drain(server, load, daemon).rate


def _posted(server: Server, requests: int, checkout: Checkout) -> float:
    return post_to_api(server, requests, checkout).posted.rate


def _streamed(server: Server, events: int, checkout: Checkout) -> float:
    (speed,) = full_speed(Gateways(checkout), server, Layout(1, 200), [events])
    return speed.events


def _of_base(name: str) -> str:
    return f"{name}, base"


def _names(figures: Figures) -> list[str]:
    return [figure.name for figure in figures if _of_base(figure.name) in figures]


def _ratio(figures: Figures, name: str) -> float:
    return ratio(figures[name], figures[_of_base(name)])
