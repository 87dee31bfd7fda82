"""As which user a Postgres of ours runs: it refuses root, and a user without a name.

A user namespace gives root another number inside it, while the system goes on to see root: what is
root's own stays readable, also below folders that nobody else may enter, and nothing on the machine
is changed. Where namespaces are forbidden the server runs as `nobody`, if that user can get there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from galaxy_notify.errors import ConfigurationError

_NOBODY: Final = "nobody"
_ANSWER_SECONDS = 10


@dataclass(frozen=True)
class ServerUser:
    """What stands before the command of a server, and who then owns its folder.

    *uid* and *gid* are None where the folder stays its maker's.
    """

    words: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def command(self, program: Path, *arguments: str) -> list[str]:
        """Return the command that runs a program as this user."""
        return [*self.words, str(program), *arguments]

    def own(self, folder: Path) -> None:
        """Hand an empty folder to this user, where it is another one."""
        if self.uid is not None and self.gid is not None:
            os.chown(folder, self.uid, self.gid)


def server_user(programs: Path, folder: Path, environ: Mapping[str, str]) -> ServerUser:
    """Choose as whom a server runs whose *programs* are in one folder and whose data is in another.

    *folder* need not exist yet. Raises `ConfigurationError` where root has no way.
    """
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return ServerUser()
    path = environ.get("PATH", os.defpath)
    if (words := _namespace(path)) is not None:
        return ServerUser(words)
    if os.geteuid() == 0 and (found := _nobody(path)) is not None:
        above = next(one for one in folder.parents if one.exists())
        if _may_enter(found, programs / "postgres") and _may_enter(found, above):
            return found
    raise ConfigurationError(
        "feed.url: embedded: Postgres does not run as root, user namespaces are forbidden here, and"
        f" nobody cannot reach {programs} and {folder.parent}; run galaxy-notify as another user,"
        " or set feed.url to a server of your own"
    )


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


@cache
def _namespace(path: str) -> tuple[str, ...] | None:
    """Return the words that run a command in a namespace, or None where that is forbidden."""
    unshare = shutil.which("unshare", path=path)
    others = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    if unshare is None or not others:
        return None
    # It needs a user that has a name. Which one makes no difference outside.
    user = next((entry for entry in others if entry.pw_name == _NOBODY), others[0])
    words = (unshare, "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}", "--")
    return words if _succeeds([*words, "true"]) else None


def _nobody(path: str) -> ServerUser | None:
    setpriv = shutil.which("setpriv", path=path)
    try:
        user = pwd.getpwnam(_NOBODY)
    except KeyError:
        return None
    if setpriv is None:
        return None
    words = (setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--")
    return ServerUser(words, user.pw_uid, user.pw_gid)


def _may_enter(user: ServerUser, path: Path) -> bool:
    return _succeeds(user.command(Path("test"), "-x", str(path)))


def _succeeds(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_SECONDS,
            check=False,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
