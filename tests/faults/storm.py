"""``python -m tests.faults.storm``: storms, a rolling restart and an outage in full size."""

from __future__ import annotations

import argparse
import sys

from tests.faults.support.feed_away import OUTAGES
from tests.support.servers import main_server, servers_found

#: Events and their rate, where none are given.
_USUAL = {"storm": (60_000, 1000.0), "restart": (0, 1000.0), "feed": (50_000, 1000.0)}


def main() -> int:
    """Run it; print what it came to. The exit code is 1 where something is missing or twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument("what", choices=("storm", "restart", "feed", "away"))
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--events", type=int, default=0, help="60,000; 50,000 with feed")
    parser.add_argument("--per-s", type=float, default=1000)
    parser.add_argument("--kill-each-s", type=float, default=0, help="3; 1 with feed")
    parser.add_argument("--server-kills", type=int, default=2)
    parser.add_argument("--postgres-kills", type=int, default=5)
    parser.add_argument("--away", choices=list(OUTAGES), default="frozen")
    parser.add_argument("--minutes", type=float, default=10, help="of away, 10 at most")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--drain-ms", type=int, default=5000)
    parser.add_argument("--server", choices=list(servers_found()), default="")
    chosen = parser.parse_args()
    binary = servers_found()[chosen.server] if chosen.server else main_server()
    run = _feed if chosen.what == "feed" else _away if chosen.what == "away" else _delivery
    lines, is_clean = run(binary, chosen)
    sys.stdout.write("\n".join([str(binary), *lines]) + "\n")
    return 0 if is_clean else 1
