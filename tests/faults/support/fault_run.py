"""One deployment for a fault test: server, daemons, producers, journal, and the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import redis

from galaxy_notify.embedded.binaries import ServerBinary
from tests.faults.support.aof import KEEPS_ALL
from tests.faults.support.checker import Report, Rest, check
from tests.faults.support.history import History, history_of
from tests.faults.support.journal import Journal
from tests.faults.support.load import Load, Shape
from tests.support.daemons import DaemonProcess, daemon_on
from tests.support.deployment import DeploymentFixture
from tests.support.roads import Road, road_of
from tests.support.servers import Server, running
from tests.support.wait import wait_until

_PATIENCE_S = 60
#: Leases short enough to see them lapse, abandoned routes never taken for killers.
_SETTINGS: dict[str, Any] = {
    "worker__lease_ttl_ms": 1000,
    "worker__batch_size": 32,
    "worker__poll_interval_ms": 200,
    "worker__max_abandoned": 1000,
    "gateway__max_len": 10_000_000,
}


class FaultRun:
    """A deployment on a server that keeps its whole history, its daemons, producers and verdict."""

    def __init__(
        self,
        server: Server,
        rng: Random,
        stack: ExitStack,
        *,
        road: Road,
        sections: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        """Found it; *sections* are of the settings, as the fixture of a deployment takes them."""
        self.server = server
        self.rng = rng
        self.road = road
        #: What the run came to, for the table of the matrix.
        self.figures: list[str] = []
        self.journal = Journal()
        self.deployment = _founded(server, _SETTINGS | settings | dict(sections or {}))
        self.daemons: list[DaemonProcess] = []
        self._settings = _SETTINGS | settings
        self._stack = stack
        stack.callback(self.deployment.close)

    def daemon(self, failpoints: str = "", url: str = "", **given: Any) -> DaemonProcess:
        """Start a daemon, perhaps with failpoints, perhaps through a proxy."""
        variables = dict(given.pop("variables", {})) | _failing(failpoints, self.rng)
        if url:
            variables["GALAXY_NOTIFY_REDIS__URL"] = url
        usual = self._settings | {"worker__publish": road_of(self.road, len(self.daemons))}
        made = daemon_on(self.server, variables=variables, **usual | given)
        self.daemons.append(self._stack.enter_context(made))
        return self.daemons[-1]

    def start_again(self, daemon: DaemonProcess, failpoints: str = "") -> None:
        """Start a daemon that has ended; what it was told to fail at is forgotten or replaced."""
        daemon.variables.pop("GN_FAILPOINTS", None)
        daemon.variables.update(_failing(failpoints, self.rng))
        daemon.start()

    def load(self, shape: Shape | None = None, url: str = "") -> Load:
        """Return producers."""
        return Load(url or self.server.url, self.journal, self.rng, shape)

    def hand_in(self, routes: int, shape: Shape | None = None) -> None:
        """Have so many routes accepted."""
        self.load(shape).hand_in(routes)

    def wait_until_over(self) -> None:
        """Wait until nothing is scheduled any more; how long that takes is the machine's affair."""
        try:
            wait_until(lambda: self.is_over, "all of it has come to an end")
        except AssertionError as error:
            ends = (f"ended: {one.process.poll()}\n{_end_of(one.log)}" for one in self.daemons)
            raise AssertionError("\n".join([str(error), *ends])) from error

    @property
    def is_over(self) -> bool:
        """Tell whether nothing waits or is leased, as far as the server answers."""
        keys = self.deployment.key_space.all_keys
        try:
            return not any(self.deployment.client.zcard(one.schedule("push")) for one in keys)
        except redis.RedisError:
            return False

    def report(self) -> Report:
        """Check every invariant that a run shows, and note what it came to."""
        report = check(self.journal, Rest.of(self.deployment), self._history())
        self.figures.append(f"{report}, {self.stale} stale")
        return report

    def _history(self) -> History:
        return history_of(self.server.folder, needs_lease=self.road == "leased")

    @property
    def stale(self) -> int:
        """Return how many items the daemons found settled, or claimed, by another."""
        lines = [line for daemon in self.daemons for line in daemon.lines("batch settled")]
        return sum(line.get("stale", 0) for line in lines)

    def assert_kept(self) -> Report:
        """Assert that nothing was lost, doubled, early or charged, whatever happened."""
        report = self.report()
        assert not report.violations, (str(report), report.violations[:10])
        for daemon in self.daemons:
            assert_readable(daemon)
        return report


def _founded(server: Server, settings: dict[str, Any]) -> DeploymentFixture:
    """Found the deployment, with a client that waits longer than a daemon would."""
    deployment = DeploymentFixture(server.url, **settings)
    deployment.client.close()
    deployment.client = redis.Redis.from_url(server.url, socket_timeout=_PATIENCE_S)
    return deployment


def _failing(failpoints: str, rng: Random) -> dict[str, str]:
    if not failpoints:
        return {}
    return {"GN_FAILPOINTS": f"seed={rng.getrandbits(32)},{failpoints}"}


def assert_readable(daemon: DaemonProcess) -> None:
    """Assert that every line of its log is one JSON object without control characters (I12)."""
    for line in daemon.log.read_text().splitlines():
        assert isinstance(json.loads(line), dict), line
        assert line.isprintable(), line


@contextmanager
def fault_run_on(
    binary: ServerBinary,
    rng: Random,
    options: Mapping[str, str] | None = None,
    *,
    road: Road = "script",
    **settings: Any,
) -> Iterator[FaultRun]:
    """Run a deployment on a server of its own, with options of its own, while the block runs."""
    with ExitStack() as stack:
        server = stack.enter_context(running(binary, **KEEPS_ALL | dict(options or {})))
        yield FaultRun(server, rng, stack, road=road, **settings)


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]
