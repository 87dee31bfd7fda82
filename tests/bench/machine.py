"""What a run was measured on: the machine and all versions, nothing that names its owner."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import hiredis
import redis

from galaxy_notify import __version__
from galaxy_notify.embedded.binaries import ServerBinary
from tests.bench.checkout import ROOT


def machine(binary: ServerBinary) -> dict[str, str]:
    """Describe machine and versions."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{_memory_gb():.0f} GB",
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "server": f"{binary.flavour} {binary.version}",
        "python": platform.python_version(),
        "redis-py": f"{redis.__version__}, hiredis {hiredis.__version__}",
        "galaxy-notify": f"{__version__}{_commit()}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" at {done.stdout.strip()}"
