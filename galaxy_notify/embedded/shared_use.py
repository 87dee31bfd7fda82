"""Who uses the server of a folder: the processes of one machine agree on it by locks on files.

Who stops the server: the last process to leave. Each holds a shared lock on the folder while it
uses the server; at its end it tries for that lock alone, and having it, stops the server. So a
server that outlived a killed process is adopted by the next one and stopped with it, and of two
processes on one folder neither takes the server from the other.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from galaxy_notify.embedded.folder import ServerFolder
from galaxy_notify.embedded.waiting import Wait, wait_to_start
from galaxy_notify.errors import Unavailable


class SharedUse:
    """The locks of one process on the folder of one server.

    A process forked from it uses the server as a part of it, and can neither leave nor stop it.
    """

    def __init__(self, folder: ServerFolder) -> None:
        self._folder = folder
        self._user: int | None = None
        self._pid = os.getpid()

    @property
    def joined(self) -> bool:
        """Return whether this process uses the server."""
        # A lock belongs to all processes that a fork has made: closed here, it stays; had alone
        # here, it is had alone beside those that still use the server.
        return self._user is not None and self._pid == os.getpid()

    def join(self) -> None:
        """Use the server from now on, until `leave`."""
        if self._user is None:
            self._user = self._open("users.lock")
            fcntl.flock(self._user, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Use the server no longer."""
        if self._user is not None:
            os.close(self._user)
            self._user = None

    def is_last(self) -> bool:
        """Return whether no other process uses the server; then none joins until `leave`."""
        return self.joined and self._user is not None and _try_lock(self._user)

    def turn(self, wait: Wait, seconds: float) -> AbstractContextManager[int]:
        """Have the folder alone for as long as a server is looked for, started or stopped."""
        taken = f"another process is still starting a server in {self._folder.path}"
        return self._locked("start.lock", wait, seconds, taken)

    def place(self, seconds: float) -> AbstractContextManager[int]:
        """Hold the lock of the server itself, to hand it on to the one that is started.

        The server inherits it and holds it as long as it lives. Two servers in one folder would
        write one another's files; a socket that vanished (a cleaner of temporary files) does not
        prove that its server did. Raises `Unavailable` where a server lives.
        """
        taken = f"a server runs in {self._folder.path} but does not answer on its socket; stop it"
        return self._locked("server.lock", wait_to_start, seconds, taken)

    def server_has_ended(self) -> bool:
        """Return whether no process of a server lives in the folder."""
        lock = self._open("server.lock")
        try:
            return _try_lock(lock)
        finally:
            os.close(lock)

    @contextmanager
    def _locked(self, name: str, wait: Wait, seconds: float, taken: str) -> Iterator[int]:
        """Hold a lock alone; raise `Unavailable` with *taken* where another process keeps it."""
        lock = self._open(name)
        try:
            if not wait(lambda: _try_lock(lock), seconds):
                raise Unavailable(taken)
            yield lock
        finally:
            os.close(lock)

    def _open(self, name: str) -> int:
        with self._folder.checked():
            return os.open(self._folder.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
