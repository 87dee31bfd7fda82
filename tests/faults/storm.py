"""``python -m tests.faults.storm``: the storm and the rolling restart in full size."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import ExitStack
from random import Random

from tests.faults.support.delivery_run import DURABLE, DeliveryRun
from tests.faults.support.delivery_storm import rolling_restart, storm
from tests.support.seed import seed_of_run
from tests.support.servers import main_server, running, servers_found


def main() -> int:
    """Run it; print what it came to. The exit code is 1 where a client missed or repeated any."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument("what", choices=("storm", "restart"))
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--per-s", type=float, default=1000)
    parser.add_argument("--kill-each-s", type=float, default=3)
    parser.add_argument("--server-kills", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--drain-ms", type=int, default=5000)
    parser.add_argument("--server", choices=list(servers_found()), default="")
    chosen = parser.parse_args()
    binary = servers_found()[chosen.server] if chosen.server else main_server()
    with ExitStack() as stack:
        server = stack.enter_context(running(binary, tcp=True, **DURABLE))
        one = DeliveryRun(server, Random(seed_of_run()), stack, users=chosen.clients)
        if chosen.what == "storm":
            run = storm(
                one,
                events=chosen.events,
                per_s=chosen.per_s,
                kill_each_s=chosen.kill_each_s,
                server_kills=chosen.server_kills,
            )
        else:
            run = rolling_restart(
                one, rounds=chosen.rounds, per_s=chosen.per_s, drain_ms=chosen.drain_ms
            )
        asyncio.run(run)
        verdict = one.verdict()
    sys.stdout.write(
        "\n".join([f"{binary}", *one.figures, str(verdict), *verdict.violations]) + "\n"
    )
    return 0 if verdict.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
