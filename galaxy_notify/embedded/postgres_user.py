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


def nobody_id() -> int | None:
    """Return the user that root's servers run as where namespaces are forbidden; None elsewhere."""
    user = _nobody_entry() if os.geteuid() == 0 else None
    return user.pw_uid if user else None


def server_user(programs: Path, data: Path, environ: Mapping[str, str]) -> ServerUser:
    """Choose as whom a server runs, from the folders of its programs and of its data.

    *data* lies in the folder that is the server's own and need not exist yet; where that folder is
    nobody's already it stays so. Raises `ConfigurationError` where there is no way.
    """
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return ServerUser()
    path = environ.get("PATH", os.defpath)
    own = data.parent
    is_nobodys = own.exists() and own.stat().st_uid == nobody_id()
    if not is_nobodys and (words := _namespace(path)) is not None:
        return ServerUser(words)
    found = _nobody(path) if os.geteuid() == 0 else None
    if found is not None and _can_work(found, programs, data):
        return found
    raise ConfigurationError(
        "feed.url: embedded: Postgres refuses to run as this user, user namespaces are forbidden,"
        f" and the user nobody cannot reach {programs} and {own}; run galaxy-notify as another"
        " user, or set feed.url to the URL of a Postgres"
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
    setpriv, user = shutil.which("setpriv", path=path), _nobody_entry()
    if setpriv is None or user is None:
        return None
    words = (setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--")
    return ServerUser(words, user.pw_uid, user.pw_gid)


def _nobody_entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(_NOBODY)
    except KeyError:
        return None


def _can_work(user: ServerUser, programs: Path, data: Path) -> bool:
    """Return whether a user can run the server and enter its data, or could if it was there.

    The folder around it is handed over before the data is made.
    """
    server = programs / "postgres"
    entered = data if data.exists() else next(one for one in data.parents[1:] if one.exists())
    # The user's rights bind what runs as it; root's still hold where it is begun.
    reached = [_succeeds(user.command(Path("test"), "-x", str(one))) for one in (server, entered)]
    return all(reached) and _succeeds(user.command(server, "--version"))


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
