"""Faults in an order that only the seed knows, for as long as somebody wants them."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress

import redis

from tests.faults.support.fault_run import FaultRun
from tests.support.daemons import DaemonProcess
from tests.support.wait import wait_until

Fault = Callable[[], None]
#: Where a daemon may kill itself, beside the kills from outside.
SUICIDAL = ",".join(
    f"{place}:kill:{chance}"
    for place, chance in (
        *(("after_claim", 0.05), ("before_settle", 0.05), ("after_settle", 0.05)),
        # A daemon comes here at every look at a channel, also where nothing is due.
        *(("before_publish", 0.02), ("after_publish", 0.03)),
    )
)


class Chaos:
    """Causes faults in a fault run, one after the other, and counts them."""

    def __init__(self, fault_run: FaultRun, failpoints: str = "") -> None:
        self.counts: Counter[str] = Counter()
        self._fault_run = fault_run
        self._failpoints = failpoints
        self._ever = threading.Event()

    def run(
        self, weights: Mapping[str, int], over: Callable[[], bool], pause_s: float = 0.1
    ) -> None:
        """Do one fault after the other, the weightier ones more often, until it is over."""
        names, chances = list(weights), list(weights.values())
        while not over():
            (name,) = self._fault_run.rng.choices(names, chances)
            getattr(self, name)()
            self.counts[name] += 1
            self.revive()
            self._ever.wait(pause_s * self._fault_run.rng.random())

    def has_done(self, name: str, times: int) -> bool:
        """Tell whether a fault has come about so often; ``died`` counts daemons, however."""
        return self.counts[name] >= times

    def revive(self) -> None:
        """Start the daemons again that have ended, as a supervisor would."""
        for daemon in self._fault_run.daemons:
            if daemon.process.poll() is not None:
                self.counts["died"] += 1
                self._fault_run.start_again(daemon, self._failpoints)

    def look_on(self) -> None:
        """Do nothing: what goes wrong does so by itself."""

    def kill_daemon(self) -> None:
        """Kill a daemon: mostly one that works, now and then one that has only begun to."""
        if self._fault_run.rng.random() < 0.2:
            self._fault_run.rng.choice(self._fault_run.daemons).kill()
        else:
            self._working().kill()

    def kill_server(self) -> None:
        """Kill the server, and start it again after a while."""
        self._fault_run.server.kill()
        self._ever.wait(self._fault_run.rng.random() * 3)
        self._fault_run.server.start()

    def freeze_daemon(self) -> None:
        """Freeze a daemon for longer than its leases, then let it go on as if nothing was."""
        daemon = self._working()
        lease_s = daemon.settings["worker__lease_ttl_ms"] / 1000  # type: ignore[operator]  # a number
        daemon.signal(signal.SIGSTOP)
        self._ever.wait(lease_s * (1 + self._fault_run.rng.random()))
        daemon.signal(signal.SIGCONT)

    def stop_daemon(self) -> None:
        """Ask a daemon to end, as an operator would."""
        daemon = self._working()
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() in (0, -signal.SIGKILL)

    def freeze_server(self) -> None:
        """Have the server answer nothing for longer than a call may take."""
        self._fault_run.server.pause()
        self._ever.wait(1 + 2 * self._fault_run.rng.random())
        self._fault_run.server.resume()

    def flush_scripts(self) -> None:
        """Have the server forget all scripts."""
        self._fault_run.deployment.client.script_flush()

    def drop_clients(self) -> None:
        """Close all connections but our own."""
        with suppress(redis.RedisError):
            self._fault_run.deployment.client.client_kill_filter(_type="normal", skipme=True)

    def _working(self) -> DaemonProcess:
        daemon = self._fault_run.rng.choice(self._fault_run.daemons)
        wait_until(lambda: self._works(daemon), "it works, or is dead")
        return daemon

    def _works(self, daemon: DaemonProcess) -> bool:
        """Tell whether it works, or has died meanwhile."""
        return daemon.is_working or daemon.process.poll() is not None


class Stopwatch:
    """Tells whether so many seconds have gone by."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Tell whether the time is up."""
        return time.monotonic() >= self._end

    def wait(self) -> None:
        """Let the time go by: what is looked at must have had its time to go wrong."""
        while not self.is_over:
            threading.Event().wait(0.05)
