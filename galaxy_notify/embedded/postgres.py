"""The embedded Postgres: a server of our own for the feed, on a private UNIX socket.

It is shared and stopped as the embedded Redis is; see `shared_use`. What was committed survives the
end of every process.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from galaxy_notify.embedded import postgres_data
from galaxy_notify.embedded.postgres_data import DATA, ServerChoice, postgres_files
from galaxy_notify.embedded.postgres_handshake import Standing, ask
from galaxy_notify.embedded.shared_use import SharedUse
from galaxy_notify.embedded.state_dir import resolve_state_dir
from galaxy_notify.embedded.waiting import wait, wait_to_start
from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.settings import Settings
from galaxy_notify.signals import SIGNALS

_LOG: Final = "postgres.log"
_ANSWER_SECONDS = 2.0
# After a crash it first writes all its files to the disk, and reads its log since a checkpoint.
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_TURN_SECONDS = postgres_data.MAKE_SECONDS + _START_SECONDS + _STOP_SECONDS

# Servers left to other processes: kept, because a forgotten child is a ResourceWarning.
_outliving: list[subprocess.Popen[bytes]] = []


class EmbeddedPostgres:
    """The Postgres of one folder, as one process uses it; `adopted` when it was already there.

    Bundled programs are preferred; else they are looked up on the PATH of *environ*.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.adopted = False
        self._environ = os.environ if environ is None else environ
        self._process: subprocess.Popen[bytes] | None = None
        self._use = SharedUse(postgres_files(folder))

    def start(self) -> str:
        """Start the server, or adopt the living one, and return its URL.

        Asked again, it starts a server that has died in between. Raises `ConfigurationError` where
        none may be started, and `Unavailable` where none comes up, or where a signal asks the
        process to end meanwhile. A server that still recovers its data by then goes on with it.
        """
        url = server_url(self.folder)
        postgres_files(self.folder).prepare()
        with self._use.turn(wait_to_start, _TURN_SECONDS):
            self._use.join()
            try:
                self.adopted = self._is_there()
                if not self.adopted:
                    self._launch(postgres_data.choose(self.folder, self._environ))
            except BaseException:
                self._use.leave()
                raise
        return url

    def stop(self) -> bool:
        """Leave the server; stop it, and say so, unless another process still uses it."""
        if not self._use.joined:
            return False
        with self._use.turn(wait, _TURN_SECONDS):
            last = self._use.is_last()
            if last:
                self._shut_down()
            elif self._process is not None:
                _outliving.append(self._process)
            self._process = None
            self._use.leave()
        return last

    def abandon(self) -> None:
        """Ask the server to end and wait for nothing, unless another process still uses it."""
        if self._use.is_last():
            self._signal(signal.SIGINT)

    def _is_there(self) -> bool:
        """Return whether a server runs, once it is known; `Unavailable` if it is not in time."""

        def settled() -> bool:
            return _standing(self.folder) is not Standing.BETWEEN

        if not wait_to_start(settled, _START_SECONDS):
            raise Unavailable(self._recovering())
        # One that is silent is busy, and a second one must not start.
        return _standing(self.folder) is not Standing.AWAY

    def _launch(self, choice: ServerChoice) -> None:
        with self._use.place(_STOP_SECONDS) as lock:
            if self._process is not None:
                self._process.wait()  # it has ended: the lock is free
            postgres_data.make(self.folder, choice, self._environ, lock)
            postgres_data.clear_stale(self.folder)
            with (self.folder / _LOG).open("ab") as log, SIGNALS.uninterrupted():
                self._process = subprocess.Popen(
                    choice.user.command(choice.binaries.postgres, *_options(self.folder)),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    umask=0o077,
                    # Ctrl-C is for the daemon, which still writes while it drains.
                    start_new_session=True,
                    env=postgres_data.environ_of_server(self._environ),
                    pass_fds=(lock,),
                )
        try:
            self._await_start(self._process)
        except BaseException:
            self._end_failed(self._process)
            raise

    def _await_start(self, process: subprocess.Popen[bytes]) -> None:
        wait_to_start(
            lambda: process.poll() is not None or _standing(self.folder) is Standing.READY,
            _START_SECONDS,
        )
        if (ended := process.poll()) is not None:
            said = _last_words(self.folder / _LOG)
            raise Unavailable(f"the embedded Postgres ended with {ended} at its start: {said}")
        if _standing(self.folder) is not Standing.READY:
            raise Unavailable(self._recovering())

    def _end_failed(self, process: subprocess.Popen[bytes]) -> None:
        """End a server that did not start in time; one that recovers its data goes on with it.

        Ended, it would begin again at its next start.
        """
        if SIGNALS.end_signal == 0 and _standing(self.folder) is Standing.BETWEEN:
            _outliving.append(process)
        else:
            self._signal(signal.SIGQUIT)
            process.wait()
        self._process = None

    def _recovering(self) -> str:
        log = self.folder / _LOG
        return (
            f"the embedded Postgres takes no connections after {_START_SECONDS:.0f} s (see {log})"
        )

    def _shut_down(self) -> None:
        """Ask the server to end its connections and itself; one that does not ends at once.

        It then recovers what was committed at its next start.
        """
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            self._signal(how)
            if wait(self._use.server_has_ended, _STOP_SECONDS):
                break
        if self._process is not None:
            self._process.wait()

    def _signal(self, what: signal.Signals) -> None:
        """Send a signal to the server; to the one of ours also before it has noted its id."""
        pid = postgres_data.process_of(self.folder)
        if pid is None and self._process is not None and self._process.poll() is None:
            pid = self._process.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, what)


def postgres_folder(settings: Settings, environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the deployment's own Postgres, beside that of its own Redis."""
    given = str(settings.redis.state_dir or "")
    state = resolve_state_dir(given, os.environ if environ is None else environ)
    return state.with_name(f"{state.name}-postgres")


def connect_url(folder: Path) -> str:
    """Return the URL of the living server of the folder; without one, say how to start it."""
    url = server_url(folder)
    if _standing(folder) is Standing.AWAY:
        raise Unavailable(
            f"no embedded Postgres runs in {folder}; start it with: galaxy-notify feed"
        )
    return url


def check_startable(folder: Path, environ: Mapping[str, str]) -> None:
    """Find out whether a server could start in a folder, changing nothing.

    Raises `ConfigurationError`, as the start would.
    """
    server_url(folder)
    postgres_files(folder).check()
    postgres_data.choose(folder, environ)


def server_url(folder: Path) -> str:
    """Return the URL of the server of the folder, whether it runs or not.

    Raises `ConfigurationError` for a folder that a URL cannot name.
    """
    if "," in str(folder):
        raise ConfigurationError(f"feed.url: embedded: {folder} must not contain a comma")
    _ = postgres_files(folder).socket
    where = f"host={quote(str(folder))}&port={postgres_data.PORT}"
    return f"postgresql://{postgres_data.USER}@/{postgres_data.DATABASE}?{where}"


def _standing(folder: Path) -> Standing:
    if postgres_data.is_between(folder):
        return Standing.BETWEEN
    path = postgres_files(folder).socket
    return ask(path, postgres_data.USER, postgres_data.DATABASE, _ANSWER_SECONDS)


def _options(folder: Path) -> list[str]:
    quoted = str(folder).replace('"', '""')
    options = {
        "listen_addresses": "",
        "port": str(postgres_data.PORT),
        "unix_socket_directories": f'"{quoted}"',
        "unix_socket_permissions": "0700",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_checkpoints": "off",
    }
    words = [f"-c{name}={value}" for name, value in options.items()]
    return ["-D", str(folder / DATA), *words]


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    why = [line for line in lines if "FATAL" in line or "PANIC" in line]
    said = (why or lines or ["no output"])[-1].strip()
    return f"{said} (see {log})"
