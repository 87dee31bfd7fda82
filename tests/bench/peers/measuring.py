"""A peer's worker under measurement: its process, and the pipe on which it tells of its jobs."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.bench.peers.environments import PeerError

_END_S = 10
_LOOK_S = 0.2
_AFTER_S = 0.5
_WELL = b"."


class Worker:
    """A worker process and what it has written."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process = process
        self._output = output

    def alive(self) -> None:
        """Raise PeerError where the process has ended."""
        if (code := self._process.poll()) is not None:
            raise PeerError(f"the worker ended with {code}: {self.told()}")

    def told(self) -> str:
        """Return the end of what the process has written."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")[-500:]


@contextmanager
def running(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Iterator[Worker]:
    """Run a worker, and end it together with all processes that it has started."""
    with tempfile.TemporaryFile() as output:
        # A session of its own: some peers have a master process, and all of them must end.
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield Worker(process, output)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    # Once more for the whole group: a master that has ended may have left others.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass(frozen=True)
class Marks:
    """The pipe into which a worker writes one byte after its first job, and one after its last.

    The byte is another one where a job was done twice.
    """

    path: Path
    pipe: int

    def wait(self, worker: Worker, limit_s: float) -> float:
        """Return when the next byte came; raise PeerError where none or a bad one comes in time."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if select.select([self.pipe], [], [], _LOOK_S)[0]:
                at, mark = time.monotonic(), os.read(self.pipe, 1)
                if mark != _WELL:
                    raise PeerError("a job was done twice")
                return at
            worker.alive()
        raise PeerError(f"not done within {limit_s:.0f} s: {worker.told()}")

    def check_quiet(self) -> None:
        """Raise PeerError where a job is done again within a moment after the last one."""
        if select.select([self.pipe], [], [], _AFTER_S)[0]:
            raise PeerError("a job was done again after the last one")


@contextmanager
def marks() -> Iterator[Marks]:
    """Open a pipe for a worker."""
    with tempfile.TemporaryDirectory(prefix="gn-peer-") as folder:
        path = Path(folder) / "marks"
        os.mkfifo(path)
        # Open for both ways, a pipe waits neither for its writer nor ends with it.
        pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        try:
            yield Marks(path, pipe)
        finally:
            os.close(pipe)
