"""What a process does at the moment, by the kernel."""

from __future__ import annotations

from pathlib import Path


def state_of(pid: int) -> str:
    """Return the state of a process as in proc(5): "T" if frozen, "Z" or "X" if ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def has_ended(pid: int) -> bool:
    """Tell whether a process is gone, with all the memory and files that it held."""
    return state_of(pid) in "ZX"
