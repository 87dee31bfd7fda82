"""A server whose wall clock a test can move: a few lines of C, loaded before its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.servers import Server
from tests.support.wait import HANG_S

_SOURCE = Path(__file__).with_name("clock.c")


class ShiftedClock:
    """Moves the clock of a server, which is restarted for it once."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._file = folder / "shift"
        self.set(0)
        library = folder / "clock.so"
        command = ["gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE)]
        subprocess.run(command, check=True, timeout=HANG_S)
        server.variables = {"LD_PRELOAD": str(library), "GN_CLOCK_SHIFT": str(self._file)}
        server.restart()

    def set(self, seconds: int) -> None:
        """Have the clock be so many seconds on."""
        if not self._file.exists():
            self._file.write_bytes(b"0".ljust(32, b"\0"))
        with self._file.open("r+b") as file:
            file.write(f"{seconds}".encode().ljust(32, b"\0"))
