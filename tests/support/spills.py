"""Spills of a background notifier, and what may happen to their files."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galaxy_notify.background.spill import Spill
from tests.support.program import ROOT
from tests.support.wait import HANG_S

INTENTS = [b"intent-%03d" % n + bytes(n) for n in range(50)]
#: Each fills pages of its own, and all together more than SQLite keeps in memory.
LONG = [b"intent-%03d" % n + os.urandom(50_000) for n in range(100)]
LARGE = 1 << 30
PAGE = 4096
_IMPORT = "from galaxy_notify.background.spill import Spill"


@contextmanager
def opened(path: Path, most_bytes: int = LARGE, batch: int = 1) -> Iterator[Spill]:
    """Open a spill while the block runs; each intent is a row of its own unless said otherwise."""
    spill = Spill(path, most_bytes, batch)
    try:
        yield spill
    finally:
        spill.close()


def written(path: Path, intents: list[bytes], batch: int = 1) -> None:
    """Leave a spill with these intents."""
    with opened(path, batch=batch) as spill:
        spill.append(intents)


def everything(spill: Spill, most: int = 7) -> list[bytes]:
    """Read a spill to its end."""
    found: list[bytes] = []
    while intents := spill.read(most, LARGE):
        found += intents
    return found


def overwritten(path: Path, content: bytes, by: bytes) -> None:
    """Overwrite what stands in a file; SQLite leaves copies where pages were divided."""
    data = path.read_bytes()
    assert content in data
    path.write_bytes(data.replace(content, by.ljust(len(content), b"?")))


def killed(path: Path, code: str) -> None:
    """Run code that is given the path, as a process that is killed at its end."""
    program = f"import os, sys\n{_IMPORT}\n{code}\nos.kill(os.getpid(), 9)\n"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, check=False, timeout=HANG_S
    )
    assert done.returncode == -signal.SIGKILL


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let no file of this process become longer, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
