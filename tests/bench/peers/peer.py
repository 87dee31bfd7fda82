"""A peer: another job queue on Redis, drained of no-op jobs for comparison.

All peers are measured in the same way. The jobs are enqueued beforehand by the peer's own client;
then one worker process starts, and the clock runs from the end of its first job to the end of its
last. The job of every peer does the same: it counts itself in the worker's memory under its number,
and the first and the last write one byte each into a named pipe, on which the benchmark waits
outside. The last one compares the numbers: each job must have been done once, and none again in
the moment after. So the peer pays two additions per job, no polling disturbs it or its server, and
neither its start nor its stop counts. What the worker still owes after its last job (acknowledging
those in flight, at most as many as it runs at once) is not counted either: in doubt the peer is the
faster.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.peers.environments import SCRIPTS, Environment, PeerError
from tests.bench.peers.measuring import marks, running
from tests.support.servers import Server

_START_S = 60
# Far below what any peer makes: a bound for what hangs, not for what is slow.
_LEAST_RATE = 50


@dataclass(frozen=True)
class Peer:
    """A peer as it is compared; *settings* says how it is set up, for the table."""

    name: str
    environment: Environment
    script: str
    settings: str
    # What its command line takes after `python -m`; a peer without has `work` in its script.
    command: tuple[str, ...] = ()
    environ: tuple[tuple[str, str], ...] = ()

    def version(self) -> str:
        """Return the versions of what is installed; raise PeerError where nothing is."""
        self.environment.prepare()
        return self.environment.version()

    def available(self) -> str | None:
        """Return None where the peer can run, otherwise why not; installs it at the first call."""
        try:
            self.environment.prepare()
        except PeerError as error:
            return str(error)
        return None

    def drain(self, server: Server, jobs: int, payload: bytes) -> float:
        """Return how many jobs per second a worker does; raise PeerError where it does not."""
        if jobs < 2:
            raise ValueError("a rate needs two jobs at least")
        self.environment.prepare()
        server.flush()
        environ = self._environ(server.tcp_url, jobs)
        limit_s = _START_S + jobs / _LEAST_RATE
        self._fill(environ, payload, limit_s)
        with marks() as told:
            environ["BENCH_MARKS"] = str(told.path)
            with running(self._work(), self.environment.folder, environ) as worker:
                first = told.wait(worker, _START_S)
                last = told.wait(worker, limit_s)
                told.check_quiet()
        return (jobs - 1) / (last - first)

    def _work(self) -> list[str]:
        if self.command:
            return self.environment.module(*self.command)
        return self.environment.call(self.script, "work")

    def _fill(self, environ: Mapping[str, str], payload: bytes, limit_s: float) -> None:
        try:
            subprocess.run(
                self.environment.call(self.script, "fill"),
                input=payload,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self.environment.folder,
                env=environ,
                timeout=limit_s,
                check=True,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            told = (error.stdout or b"").decode(errors="replace")[-500:]
            raise PeerError(f"enqueueing failed: {told or 'too slow'}") from error

    def _environ(self, url: str, jobs: int) -> dict[str, str]:
        own = {
            "BENCH_URL": url,
            "BENCH_JOBS": str(jobs),
            "PYTHONPATH": str(SCRIPTS),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return os.environ | own | dict(self.environ)
