"""The private folder of an embedded server: whose it is, and who else may open it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings.values import LONGEST_SOCKET

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class ServerFolder:
    """A folder with the data and the socket of one server.

    *setting* is what to change where the folder cannot be used, *note* the name of a file that is
    in a folder which such a server has used. The owner is the user of this process, or *owner*.
    """

    path: Path
    setting: str
    socket_name: str
    note: str
    owner: int | None = None

    @property
    def socket(self) -> Path:
        """Return the socket, refusing a path that is too long for one (`ConfigurationError`)."""
        path = self.path / self.socket_name
        if (length := len(os.fsencode(path))) > LONGEST_SOCKET:
            raise ConfigurationError(
                f"{self.setting}: the socket {path} would have a path of {length} bytes,"
                f" and {LONGEST_SOCKET} is the longest possible: use a shorter path"
            )
        return path

    def check(self) -> None:
        """Find out whether `prepare` can do its part, changing nothing; `ConfigurationError`."""
        _ = self.socket
        with self.checked():
            if self.path.exists():
                self._check_existing()
                return
            above = next(one for one in self.path.parents if os.path.lexists(one))
            if not above.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if not os.access(above, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def prepare(self) -> None:
        """Make the folder, or check that no other user owns an existing one; its mode is 0700."""
        self.check()
        with self.checked():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_mode & _OTHERS:
                self.path.chmod(0o700)

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Raise `ConfigurationError` for what the system refuses to do in the folder."""
        try:
            yield
        except OSError as error:
            raise ConfigurationError(f"{self.setting}: {self.path}: {error.strerror}") from error

    def _check_existing(self) -> None:
        found = self.path.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if found.st_uid not in (os.geteuid(), self.owner):
            raise ConfigurationError(f"{self.setting}: {self.path} belongs to another user")
        # Never tighten a folder that serves something else too, such as /tmp or a home.
        is_open = bool(found.st_mode & _OTHERS)
        if is_open and any(self.path.iterdir()) and not (self.path / self.note).exists():
            mode = stat.S_IMODE(found.st_mode)
            raise ConfigurationError(
                f"{self.setting}: {self.path} is accessible to other users (mode {mode:04o}): use a"
                f" separate folder, or set mode 0700"
            )
