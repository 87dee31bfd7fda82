"""Which process a worker is, so that a command on its machine can see whether it still runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

#: ``unknown``: on another machine, in another container, or the system does not say.
ProcessState = Literal["running", "stopped", "gone", "unknown"]

#: The field of a worker's hash with the external channels it serves, as JSON: the kind of each, and
#: how many hosts rest.
EXTERNAL: Final = "external"

_PROC: Final = Path("/proc")
# Fields of /proc/PID/stat behind the name, which may hold anything: the state, the start time.
_STATE, _STARTED = 0, 19


def own_process() -> str:
    """Return a text that no other process has; empty where the system does not say."""
    return process_of(os.getpid())


def process_of(pid: int) -> str:
    """Return that text for a process of this machine; empty where there is none."""
    fields, machine = _stat(pid), _machine()
    return f"{machine}:{fields[_STARTED]}" if fields and machine else ""


def process_state(pid: int, process: str) -> ProcessState:
    """Return what became of a process, by its number and what it said of itself at its start."""
    machine, _, started = process.rpartition(":")
    if not machine or machine != _machine() or not 0 < pid < 1 << 31:
        return "unknown"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass  # it runs as another user
    fields = _stat(pid)
    if fields is None:
        return "unknown"
    if fields[_STARTED] != started or fields[_STATE] in "ZX":
        return "gone"
    return "stopped" if fields[_STATE] in "Tt" else "running"


def _machine() -> str:
    """Return what the processes that see each other by number have in common."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}:{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > _STARTED else None
