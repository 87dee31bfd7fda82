"""Daemons as processes, with what they log, and a supervisor that listens to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.encoders import ROUND
from tests.support.program import FAILING_PROGRAM, FAILING_VARIABLES, PROGRAM, ROOT, environment
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

STOP_SECONDS = HANG_S


class DaemonProcess:
    """A daemon on a server; settings are given as ``section__field=value``."""

    def __init__(
        self,
        server: Server,
        *options: str,
        variables: Mapping[str, str] | None = None,
        stderr: int | None = None,
        command: str = "run",
        **settings: object,
    ) -> None:
        """Start the process; *stderr* takes its log where it is not to go to the file."""
        self._command = command
        self.folder = Path(tempfile.mkdtemp(prefix="gn-"))
        self.config = self.folder / "settings.toml"
        self.settings = settings
        self.write_config()
        self.server = server
        self._options = options
        self.variables = dict(variables or {})
        self._stderr = stderr
        self.log = self.folder / "log"
        self.start()

    def write_config(self, **changed: object) -> None:
        """Write the settings, with these changed, to the file that the daemon reads."""
        self.settings = self.settings | changed
        sections: dict[str, list[str]] = {}
        for name, value in self.settings.items():
            section, field = name.split("__")
            sections.setdefault(section, []).append(f"{field} = {json.dumps(value)}")
        text = "\n".join(f"[{name}]\n" + "\n".join(sections[name]) for name in sections)
        self.config.write_text(text)

    def start(self) -> None:
        """Start the process, again if need be."""
        is_changed = FAILING_VARIABLES & self.variables.keys()
        program = FAILING_PROGRAM if is_changed else PROGRAM
        with self.log.open("ab") as log:
            self._begun_at = log.tell()
            self.process = subprocess.Popen(
                [*program, "--config", str(self.config), *self._options, self._command],
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log if self._stderr is None else self._stderr,
            )

    def _environment(self) -> dict[str, str]:
        return environment(self.server, **self.variables)

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """Return what it has logged, or the lines of one event."""
        return self._lines(event, 0)

    def lines_of_last(self, event: str) -> list[dict[str, Any]]:
        """Return what the process that was started last has logged of one event."""
        return self._lines(event, self._begun_at)

    def _lines(self, event: str, begin: int) -> list[dict[str, Any]]:
        # Of what is being written just now, a part may be there already.
        whole = self.log.read_bytes()[begin:].split(b"\n")[:-1]
        found = [json.loads(line) for line in whole if line.startswith(b"{")]
        return [line for line in found if event in ("", line["event"])]

    @property
    def is_working(self) -> bool:
        """Tell whether the process that was started last has come to work."""
        with self.log.open("rb") as log:
            log.seek(self._begun_at)
            return b'"daemon working"' in log.read()

    def wait_for(self, event: str, timeout: float = HANG_S) -> dict[str, Any]:
        """Wait until it has logged an event."""

        return self._awaited(lambda: self.lines(event), event, timeout)

    def wait_for_last(self, event: str) -> dict[str, Any]:
        """Wait until the process that was started last has logged an event."""
        return self._awaited(lambda: self.lines_of_last(event), event)

    def _awaited(
        self, read: Callable[[], list[dict[str, Any]]], event: str, timeout: float = HANG_S
    ) -> dict[str, Any]:
        def logged() -> list[dict[str, Any]]:
            assert self.process.poll() is None or read(), self.log.read_text()
            return read()

        return wait_until(logged, f"it logs: {event}", timeout)[0]

    def wait_for_rounds(self, number: int) -> int:
        """Wait until its encoder has printed so many rounds, and return how many it has."""
        return wait_until(lambda: self._rounds() >= number and self._rounds(), f"round {number}")

    def _rounds(self) -> int:
        return self.log.read_text().count(ROUND)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def ended(self, timeout: float = STOP_SECONDS) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(timeout)


@contextmanager
def daemon_on(server: Server, *options: str, **settings: Any) -> Iterator[DaemonProcess]:
    """Run a daemon while the block runs; whatever is left of it then is killed."""
    made = DaemonProcess(server, *options, **settings)
    try:
        yield made
    finally:
        made.kill()
        shutil.rmtree(made.folder)


class Supervisor:
    """What systemd is to a daemon: a datagram socket that hears READY, STATUS and WATCHDOG."""

    def __init__(self) -> None:
        """Listen; `address` is what NOTIFY_SOCKET has to be."""
        self.address = str(Path(tempfile.mkdtemp(prefix="gn-")) / "notify")
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        threading.Thread(target=self._listen, daemon=True).start()

    def told(self, word: str) -> list[str]:
        """Return the messages of one kind, such as ``STATUS``."""
        return [text for text in self.heard if text.startswith(f"{word}=")]

    def catch_up(self) -> None:
        """Wait until everything that was sent so far has been heard."""
        mark = f"MARK={len(self.told('MARK'))}"
        self._send(mark)
        wait_until(lambda: mark in self.heard, "it has heard everything")

    def close(self) -> None:
        """Stop listening."""
        self._send("")

    def _send(self, text: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(text.encode(), self.address)

    def _listen(self) -> None:
        with self._socket:
            while message := self._socket.recv(4096):
                self.heard += message.decode().split("\n")
        os.unlink(self.address)


@contextmanager
def supervisor() -> Iterator[Supervisor]:
    """Listen while the block runs."""
    made = Supervisor()
    try:
        yield made
    finally:
        made.close()
