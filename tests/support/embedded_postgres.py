"""Folders for embedded Postgres servers, and what is done to the servers in them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from galaxy_notify.embedded import postgres as embedded
from galaxy_notify.embedded.postgres import connect_url
from galaxy_notify.embedded.postgres_data import postgres_files, process_of
from galaxy_notify.embedded.shared_use import SharedUse
from galaxy_notify.errors import Unavailable
from tests.support.postgres import postgres_found
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until


@contextmanager
def postgres_state() -> Iterator[Path]:
    """Give a short folder of one's own, and leave no server behind in it."""
    root = Path(tempfile.mkdtemp(prefix="gn-", dir=Server.root))
    folder = root / "state-postgres"
    try:
        yield folder
    finally:
        if folder.exists():
            kill_postgres(folder)
        # A server that one process left to another is a child of this process still.
        while embedded._outliving:
            embedded._outliving.pop().wait(HANG_S)
        shutil.rmtree(root)


@contextmanager
def open_to_all() -> Iterator[Path]:
    """Give a folder that every user may enter, with the programs of a Postgres in `*/bin` of it.

    Those of the environment may lie where only its owner gets. A host's are open to all already.
    """
    root = Path(tempfile.mkdtemp(prefix="gn-", dir=Server.root))
    try:
        root.chmod(0o755)
        place = root / "programs"
        place.mkdir()
        found = postgres_found()
        if found.bundled:  # it takes what it needs from beside its own folder
            own = found.folder.parent
            shutil.copytree(own, place / own.name, symlinks=True)
            libraries = own.parent.with_name(f"{own.parent.name}.libs")
            shutil.copytree(libraries, root / f"{place.name}.libs")
            (root / libraries.name).symlink_to(f"{place.name}.libs")
        yield place
    finally:
        shutil.rmtree(root)


def client_of(url: str) -> psycopg.Connection[Any]:
    """Connect to an embedded server, each statement a transaction; use it in `with`."""
    return psycopg.connect(url, autocommit=True)


def postgres_pid(folder: Path) -> int:
    """Return the process id of the living server of a folder."""
    pid = process_of(folder)
    assert pid is not None
    return pid


def has_ended(folder: Path) -> bool:
    """Tell whether no process of a server lives in a folder."""
    return SharedUse(postgres_files(folder)).server_has_ended()


def kill_postgres(folder: Path) -> None:
    """Kill all processes of the server of a folder, if there is one, and wait for their end."""
    if (pid := process_of(folder)) is not None:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
    wait_until(lambda: has_ended(folder), "the killed server is gone")


def is_down(folder: Path) -> bool:
    """Tell whether commands find no server in a folder."""
    try:
        connect_url(folder)
    except Unavailable:
        return True
    return False


_RUN = """
import sys, pathlib
from galaxy_notify.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))
server.start()
print("adopted" if server.adopted else "started", flush=True)
sys.stdin.read()
server.stop()
"""


def start_in_another_process(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Begin to use the server of a folder in a process; it leaves at the end of its input.

    *words* stand before its command.
    """
    return subprocess.Popen(
        [*words, sys.executable, "-c", _RUN, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    """Return what the process says once its server serves: `started` or `adopted`."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
