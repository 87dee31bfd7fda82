"""Routes that become due at a steady rate: accepted beforehand, or by a producer that is living."""

from __future__ import annotations

import time

from tests.bench.bench_run import deployment, patient
from tests.bench.checkout import HERE, Checkout
from tests.bench.fill import fill
from tests.bench.lateness import Lateness, lateness, wait_for_entries
from tests.bench.load import Load
from tests.bench.processes import daemons, running
from tests.support.servers import Server
from tests.support.wait import wait_until

_START_S = 30
_TRIES = 4


class Arrivals:
    """Makes routes due at a rate, with one daemon on duty, and looks how late they came."""

    def __init__(self, server: Server, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        # What accepting managed last; the schedule must stand before its first route is due.
        self._fill_rate = 10_000.0

    def beforehand(
        self, rate: float, *, at_once: bool = False, checkout: Checkout = HERE
    ) -> Lateness:
        """Accept everything before the first route is due; *at_once* makes all due together.

        The daemon is that of the *checkout*.
        """
        routes = int(rate * self._seconds)
        span_ms = 0 if at_once else int(self._seconds * 1000)
        for _ in range(_TRIES):
            self._server.flush()
            with (
                deployment(self._server.tcp_url),
                daemons(self._server.tcp_url, of=checkout) as (worker,),
            ):
                self._wait_ready()
                due_s = time.time() + routes / self._fill_rate * 1.3 + 1
                load = Load(routes, due_ms=int(due_s * 1000), span_ms=span_ms)
                self._fill_rate = fill(self._server.tcp_url, load)
                if time.time() < due_s - 0.3:
                    with patient(self._server) as client:
                        end = due_s + span_ms / 1000
                        wait_for_entries(client, worker, routes, end, self._seconds + 5)
                        return lateness(client, routes)
        raise RuntimeError("accepting took longer than foreseen each time")

    def living(self, rate: float) -> Lateness:
        """Let a producer accept at a rate, everything due at once."""
        self._server.flush()
        url, routes = self._server.tcp_url, int(rate * self._seconds)
        with deployment(url), daemons(url) as (worker,), patient(self._server) as client:
            self._wait_ready()
            command = ["tests.bench.produce", url, str(int(rate)), str(routes)]
            with running(*command) as producer:
                producer.wait(self._seconds * 4 + 10)
            wait_for_entries(client, worker, routes, time.time(), self._seconds)
            return lateness(client, routes)

    def _wait_ready(self) -> None:
        with patient(self._server) as client:
            wait_until(lambda: client.zcard("{gn:0}:workers"), "the daemon works", _START_S)
