"""How much memory a process has, and had at most."""

from __future__ import annotations

import re
from pathlib import Path

_MB = 1024


class Memory:
    """The memory of a process on Linux, in MB."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    @property
    def resident(self) -> float:
        """Return what it has now."""
        return self._value("VmRSS")

    @property
    def peak(self) -> float:
        """Return the most it had since the start, or since it was forgotten."""
        return self._value("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak begin at what it has now."""
        (self._folder / "clear_refs").write_text("5")

    def _value(self, name: str) -> float:
        found = re.search(rf"^{name}:\s+(\d+) kB", (self._folder / "status").read_text(), re.M)
        assert found
        return int(found[1]) / _MB
