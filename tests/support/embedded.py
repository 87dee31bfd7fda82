"""Folders for embedded servers, and what is done to the servers in them."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from galaxy_notify.embedded import server as embedded
from galaxy_notify.embedded.server import connect_url
from galaxy_notify.errors import Unavailable
from tests.support.wait import HANG_S, wait_until

ONLY_BUNDLED = {"PATH": ""}
_STOP_SECONDS = HANG_S


@contextmanager
def state_folder() -> Iterator[Path]:
    """Give a short folder of one's own, and leave no server behind in it."""
    root = Path(tempfile.mkdtemp(prefix="gn-"))
    try:
        yield root / "state"
    finally:
        if (root / "state" / "redis.sock").exists():
            kill_server(root / "state")
        # A server that one run left to another is a child of this process still.
        while embedded._outliving:
            embedded._outliving.pop().wait(_STOP_SECONDS)
        shutil.rmtree(root)


def client_of(url: str) -> redis.Redis:
    """Connect to an embedded server; use it in `with`."""
    return redis.Redis.from_url(url, decode_responses=True)


def server_pid(folder: Path) -> int:
    """Ask the living server of a folder for its process id."""
    with client_of(connect_url(folder)) as client:
        return int(client.info("server")["process_id"])


def has_written_all(folder: Path) -> bool:
    """Tell whether the server of a folder has handed all that it answered to its file.

    With `everysec`, while an earlier write is on its way to a slow disk, a reply may precede this
    by up to 2 s, and a kill of the server then takes what was answered.
    """
    with client_of(connect_url(folder)) as client:
        return int(client.info("persistence")["aof_buffer_length"]) == 0


def kill_server(folder: Path) -> None:
    """Kill the server of a folder, if there is one, and wait until it is gone."""
    if not is_down(folder):
        os.kill(server_pid(folder), signal.SIGKILL)
        wait_until(lambda: is_down(folder), "the killed server is gone")


def is_down(folder: Path) -> bool:
    """Tell whether the commands find no server in a folder."""
    try:
        connect_url(folder)
    except Unavailable:
        return True
    return False
