"""``make bench``: the targets of this release, each as a ratio measured within one run."""

from __future__ import annotations

import platform
import statistics
import sys

import redis

from tests.bench.drain import drain_daemon, drain_sequential
from tests.support.servers import Server, servers_found

_RUNS = 3
_ROUTES = 50_000
_SEQUENTIAL_ROUTES = 5_000
_TARGET = 15.0


def main() -> int:
    """Print the table; 1 where a target is missed."""
    binary = next(reversed(servers_found().values()))
    print(f"{platform.platform()}, Python {platform.python_version()}, redis-py {redis.__version__},")
    print(f"{binary.flavour} {binary.version}, no persistence, {_RUNS} runs, medians\n")
    rates: dict[str, list[float]] = {"sequential loop": [], "one daemon": [], "fan-out of 100": []}
    server = Server(binary)
    server.start()
    try:
        for _ in range(_RUNS):
            rates["sequential loop"].append(drain_sequential(server, _SEQUENTIAL_ROUTES))
            rates["one daemon"].append(drain_daemon(server, _ROUTES))
            rates["fan-out of 100"].append(drain_daemon(server, _ROUTES, 100))
    finally:
        server.remove()
    base = statistics.median(rates["sequential loop"])
    for name, values in rates.items():
        middle = statistics.median(values)
        spread = f"{min(values):>9,.0f} … {max(values):<9,.0f}"
        print(f"{name:<18}{middle:>10,.0f} routes/s  {spread} {middle / base:6.1f} ×")
    met = statistics.median(rates["one daemon"]) >= _TARGET * base
    print(f"\ntarget: one daemon at least {_TARGET:.0f} × the sequential loop: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
