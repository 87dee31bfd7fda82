"""``python -m tests.faults.storm``: storms, a rolling restart and outages in full size."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from galaxy_notify.embedded.binaries import ServerBinary
from tests.faults.support.delivery_run import DURABLE, DeliveryRun
from tests.faults.support.delivery_storm import rolling_restart, storm
from tests.faults.support.feed_away import MOST_RISE, Load, feed_away
from tests.faults.support.feed_run import FeedRun, FeedShape
from tests.faults.support.feed_storm import FeedStorm
from tests.faults.support.mail_run import MailRun
from tests.faults.support.postgres_outages import OUTAGES
from tests.faults.support.send_run import BOTH, HOOKS, Endpoints, SendRun
from tests.faults.support.send_storm import send_storm
from tests.faults.support.sick_hosts import compare_hosts, dead_host
from tests.support.feeds import migrate
from tests.support.postgres import running_postgres
from tests.support.receiver_process import running_receiver
from tests.support.seed import seed_of_run
from tests.support.servers import (
    Server,
    folder_in_memory,
    main_server,
    running,
    servers_found,
)

_FEED_EVENTS, _LONGEST_AWAY_MINUTES = 50_000, 10.0
_SENDS, _MAILS, _TO_HOSTS = 20_000, 5_000, 100_000


class Outcome(NamedTuple):
    """What a run came to, in words, and whether that is what was promised."""

    lines: Sequence[str]
    is_clean: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; print what it came to. The exit code is 1 where something is missing or twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument(
        "what", choices=("storm", "restart", "feed", "away", "sends", "mails", "hosts")
    )
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument(
        "--events",
        type=int,
        help="60,000; 50,000 of feed; 20,000 of sends; 5,000 of mails; 100,000 of hosts",
    )
    parser.add_argument("--per-s", type=float, default=1000)
    parser.add_argument("--kill-each-s", type=float, help="3, or 1 of feed, sends and mails")
    parser.add_argument("--at-most-once", action="store_true", help="of sends and mails")
    parser.add_argument("--server-kills", type=int, default=2)
    parser.add_argument("--postgres-kills", type=int, default=5)
    parser.add_argument("--outage", choices=list(OUTAGES), default="frozen")
    parser.add_argument("--minutes", type=float, default=_LONGEST_AWAY_MINUTES, help="of away")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--drain-ms", type=int, default=5000)
    parser.add_argument("--server", choices=list(servers_found()), default="")
    chosen = parser.parse_args(arguments)
    binary = servers_found()[chosen.server] if chosen.server else main_server()
    # A disk that others use as well would be what is measured.
    Server.root = folder_in_memory()
    runs = {"feed": _feed, "away": _away, "sends": _sends, "mails": _mails, "hosts": _hosts}
    outcome = runs.get(chosen.what, _delivery)(binary, chosen)
    sys.stdout.write("\n".join([str(binary), *outcome.lines]) + "\n")
    return 0 if outcome.is_clean else 1


def _delivery(binary: ServerBinary, chosen: argparse.Namespace) -> Outcome:
    """Break gateways, by a storm or a rolling restart."""
    with ExitStack() as stack:
        server = stack.enter_context(running(binary, tcp=True, **DURABLE))
        one = DeliveryRun(server, Random(seed_of_run()), stack, users=chosen.clients)
        if chosen.what == "storm":
            run = storm(
                one,
                events=chosen.events or 60_000,
                per_s=chosen.per_s,
                kill_each_s=chosen.kill_each_s or 3,
                server_kills=chosen.server_kills,
            )
        else:
            run = rolling_restart(
                one, rounds=chosen.rounds, per_s=chosen.per_s, drain_ms=chosen.drain_ms
            )
        asyncio.run(run)
        return _verdict(one)


def _feed(binary: ServerBinary, chosen: argparse.Namespace) -> Outcome:
    """Break writers of the feed, Postgres and Redis."""
    with ExitStack() as stack:
        server = stack.enter_context(running(binary, tcp=True, **DURABLE))
        postgres = stack.enter_context(running_postgres())
        shape = FeedShape(users=chosen.clients, max_len=10_000)
        one = FeedRun(server, postgres, Random(seed_of_run()), stack, shape)
        events = chosen.events or _FEED_EVENTS
        kills = (chosen.kill_each_s or 1, chosen.postgres_kills, chosen.server_kills)
        try:
            FeedStorm(one, events, chosen.per_s).run(*kills)
        except AssertionError as error:
            return Outcome([*one.figures, str(error)], is_clean=False)
        return Outcome(one.figures, is_clean=True)


def _away(binary: ServerBinary, chosen: argparse.Namespace) -> Outcome:
    """Have Postgres away for minutes under a load; before, it is there for a tenth of them."""
    with ExitStack() as stack:
        server = stack.enter_context(running(binary, tcp=True, **DURABLE))
        postgres = stack.enter_context(running_postgres())
        migrate(postgres)
        rng = Random(seed_of_run())
        one = DeliveryRun(server, rng, stack, users=chosen.clients, max_len=10_000)
        minutes = min(chosen.minutes, _LONGEST_AWAY_MINUTES)
        away = int(minutes * 60 * chosen.per_s)
        load = Load(away // 10, away, chosen.per_s, patience_s=minutes * 600)
        before, meanwhile = asyncio.run(feed_away(one, postgres, OUTAGES[chosen.outage], load))
        outcome = _verdict(one)
        is_as_quick = meanwhile.p50 <= MOST_RISE * before.p50
        return outcome._replace(is_clean=outcome.is_clean and is_as_quick)


def _sends(binary: ServerBinary, chosen: argparse.Namespace) -> Outcome:
    """Break daemons that send webhooks, and by a channel of their own, and Redis."""
    delivery = "at_most_once" if chosen.at_most_once else "at_least_once"
    channel = {"timeout_ms": 8000, "lease_ttl_ms": 16_000, "delivery": delivery}
    with ExitStack() as stack:
        one = _send_run(binary, stack, Endpoints(dict.fromkeys(BOTH, channel)))
        one.people(200)
        each_s = chosen.kill_each_s or 1
        send_storm(one, chosen.events or _SENDS, each_s, chosen.server_kills)
        found = one.sent(at_most_once=BOTH if chosen.at_most_once else ())
        return Outcome([*one.figures, *found.violations[:10]], not found.violations)


def _mails(binary: ServerBinary, chosen: argparse.Namespace) -> Outcome:
    """Break daemons that send e-mails, the mail server and Redis."""
    delivery = "at_most_once" if chosen.at_most_once else "at_least_once"
    with ExitStack() as stack:
        server = stack.enter_context(running(binary, tcp=True, **DURABLE))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="gn-")))
        one = MailRun(server, Random(seed_of_run()), stack, folder, delivery=delivery)
        one.people(200)
        send_storm(one, chosen.events or _MAILS, chosen.kill_each_s or 1, chosen.server_kills)
        found = one.sent(at_most_once=chosen.at_most_once)
        return Outcome([*one.figures, *found.violations[:10]], not found.violations)


def _hosts(binary: ServerBinary, chosen: argparse.Namespace) -> Outcome:
    """Send to a hundred hosts, of which thirteen are sick, and before only to the others."""
    routes, per_s = chosen.events or _TO_HOSTS, chosen.per_s
    with ExitStack() as stack:
        port = stack.enter_context(dead_host())
        one = _send_run(binary, stack, Endpoints({HOOKS: {"per_host": 8}}, [port]))
        comparison = compare_hosts(one, port, routes, per_s)
        return Outcome([str(comparison)], comparison.is_kept)


def _send_run(binary: ServerBinary, stack: ExitStack, endpoints: Endpoints) -> SendRun:
    server = stack.enter_context(running(binary, tcp=True, **DURABLE))
    receiver = stack.enter_context(running_receiver())
    return SendRun(server, Random(seed_of_run()), stack, receiver, endpoints)


def _verdict(one: DeliveryRun) -> Outcome:
    verdict = one.verdict()
    return Outcome([*one.figures, str(verdict), *verdict.violations], verdict.is_clean)


if __name__ == "__main__":
    sys.exit(main())
