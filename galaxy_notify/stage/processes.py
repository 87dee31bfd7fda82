"""The processes of the stage: each is started again as soon as it has ended, however it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.signals import SIGNALS

#: Says whether a process works.
Works = Callable[[], Coroutine[Any, Any, bool]]

_LOOK_EVERY_S: Final = 0.05
#: A process that cannot start, such as on a port that is taken for a moment, waits between two.
_PAUSE_S: Final = 0.3
_STOP_S: Final = 8.0
_LAST_BYTES: Final = 2000


class StageProcess:
    """One process that runs a command of the program."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        """Prepare `galaxy-notify ARGUMENTS`; its log lies in *folder*."""
        self.name = name
        self.log = folder / f"{name}.log"
        #: How often it was started, and whether it works.
        self.starts = 0
        self.is_ready = False
        self.has_worked = asyncio.Event()
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = asyncio.Event()
        SIGNALS.cleanups.append(self.kill)

    @property
    def document(self) -> dict[str, Any]:
        """What the page shows of it."""
        pid = self._process.pid if self._process else None
        return {"name": self.name, "pid": pid, "ready": self.is_ready, "starts": self.starts}

    def kill(self) -> None:
        """Kill it, as a crash or the machine would: it can do nothing more."""
        self.is_ready = False
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def keep(self, environ: Mapping[str, str], works: Works) -> None:
        """Start it, and again whenever it has ended, until `stop`; *works* says whether it does.

        Raises `Unavailable` or `ConfigurationError` where it does not even work once.
        """
        while not self._ending.is_set():
            process = self._start(environ)
            while process.poll() is None:
                if not self.is_ready and await works() and process.poll() is None:
                    self.is_ready = True
                    self.has_worked.set()
                await asyncio.sleep(_LOOK_EVERY_S)
            self.is_ready = False
            if self._ending.is_set():
                return
            if process.returncode != -signal.SIGKILL:
                if not self.has_worked.is_set():
                    raise self._failure(process.returncode)
                await asyncio.sleep(_PAUSE_S)

    def ask_to_end(self) -> None:
        """Ask it to end, and start it no more."""
        self._ending.set()
        if self._process is not None:
            self._process.terminate()

    async def ended(self) -> None:
        """Wait until it has ended, and kill it where that takes too long."""
        process, waited_s = self._process, 0.0
        while process is not None and process.poll() is None:
            if waited_s >= _STOP_S:
                process.kill()
            await asyncio.sleep(_LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S

    def _start(self, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as out, SIGNALS.uninterrupted():
            self._process = subprocess.Popen(
                [sys.executable, "-m", "galaxy_notify", *self._arguments],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C is for the stage, which ends them
            )
        self.starts += 1
        return self._process

    def _failure(self, code: int) -> Exception:
        said = self.log.read_bytes()[-_LAST_BYTES:].decode(errors="replace").strip()
        kind = ConfigurationError if code == os.EX_CONFIG else Unavailable
        return kind(f"{self.name} ended with {code}: {said}")


def has_logged(log: Path, *events: str) -> Works:
    """Return what says whether a process has logged all of these events since its start."""

    async def works() -> bool:
        text = await asyncio.to_thread(log.read_bytes)
        return all(event.encode() in text for event in events)

    return works


def answers(port: int) -> Works:
    """Return what says whether a gateway on this port is ready."""

    async def works() -> bool:
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    request = (
                        b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
                    )
                    writer.write(request)
                    return b" 200 " in await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    return works
