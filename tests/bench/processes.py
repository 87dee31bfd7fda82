"""Processes under measurement, seen from outside: their processor time, memory and end."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from tests.bench.checkout import HERE, Checkout

_TICKS = os.sysconf("SC_CLK_TCK")
_END_S = 20
# A stream that is trimmed while its entries are counted would be counted wrongly.
_COUNTABLE = {"GATEWAY__MAX_LEN": "100000000"}


class Running:
    """A process of ours; its output goes to a file, as a daemon's does."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], output: IO[bytes], root: Path
    ) -> None:
        self._name = " ".join(Path(word).name for word in command[1:3])
        self._output = output
        self._process = subprocess.Popen(
            command,
            cwd=root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Tell whether the process has ended."""
        return self._process.poll() is not None

    def alive(self) -> None:
        """Raise where the process ended otherwise than well."""
        if self._process.poll() not in (None, 0):
            raise RuntimeError(f"{self._name} ended: {self.output()[-500:]}")

    def output(self) -> str:
        """Return what the process has written so far."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def wait(self, seconds: float) -> None:
        """Wait for a good end."""
        code = self._process.wait(seconds)
        self.alive()
        if code:
            raise RuntimeError(f"{self._name} ended with {code}")

    def cpu_s(self) -> float:
        """Return the seconds of processor time so far."""
        return cpu_s(self.pid)

    def rss_mb(self) -> float:
        """Return the resident memory in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def pause(self) -> None:
        """Stop the process for a while."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a paused process run."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once, as a crash does."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Stop the process, at last by force."""
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                self._process.wait(_END_S)
        finally:
            self._process.kill()
            self._process.wait()


def cpu_s(pid: int) -> float:
    """Return the seconds of processor time that a process took so far; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def running(*command: str, of: Checkout = HERE, **settings: str) -> Iterator[Running]:
    """Run a Python module as a process; *settings* are ``REDIS__URL="..."`` and the like.

    The package is that of the checkout *of*.
    """
    named = {f"GALAXY_NOTIFY_{name}": value for name, value in settings.items()}
    own = {k: v for k, v in os.environ.items() if not k.startswith(("GALAXY_NOTIFY_", "OTEL_"))}
    with started(of.command(*command), own | named, of.root) as process:
        yield process


@contextmanager
def started(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> Iterator[Running]:
    """Run a command as a process."""
    with tempfile.TemporaryFile() as output:
        process = Running(command, environ, output, folder)
        try:
            yield process
        finally:
            process.end()


@contextmanager
def daemons(
    url: str, settings: Mapping[str, str] | None = None, count: int = 1, of: Checkout = HERE
) -> Iterator[list[Running]]:
    """Run so many daemons, of the checkout *of*."""
    with ExitStack() as stack:
        own = _COUNTABLE | dict(settings or {})
        yield [
            stack.enter_context(running("galaxy_notify", "run", of=of, REDIS__URL=url, **own))
            for _ in range(count)
        ]
