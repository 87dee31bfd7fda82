"""The embedded server: a Redis or Valkey of our own, on a private UNIX socket.

Who stops it: the last `run` to leave. Every run holds a shared lock on the folder while it uses the
server; at its end it tries for that lock alone, and having it, stops the server. So a server that
outlived a killed run is adopted by the next one and stopped with it, and of two runs on one folder
neither takes the server from the other.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from galaxy_notify.embedded import state_dir
from galaxy_notify.embedded.binaries import find_servers
from galaxy_notify.errors import Unavailable
from galaxy_notify.signals import SIGNALS

_ANSWER_SECONDS = 2.0
_START_SECONDS = 10.0
_STOP_SECONDS = 10.0
_TURN_SECONDS = _START_SECONDS + _STOP_SECONDS
_STEP_SECONDS = 0.01
# What the server's environment must not hold: our settings (passwords), systemd's socket.
_PRIVATE = ("GALAXY_NOTIFY_", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY")

Wait = Callable[[Callable[[], bool], float], bool]

# Servers left to other runs: kept, because a forgotten child is a ResourceWarning.
_outliving: list[subprocess.Popen[bytes]] = []


class EmbeddedServer:
    """The server of one folder, as one `run` uses it; `adopted` when it was already there.

    It is looked up on the PATH of *environ*.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.adopted = False
        self._environ = os.environ if environ is None else environ
        self._process: subprocess.Popen[bytes] | None = None
        self._user: int | None = None

    def start(self) -> str:
        """Start the server, or adopt the living one, and return its URL.

        Asked again, it starts a server that has died in between. Raises `Unavailable` where none
        comes up, or where a signal asks the process to end meanwhile: then none is left.
        """
        url = state_dir.socket_url(self.folder)
        state_dir.prepare(self.folder)
        with self._turn(_wait_to_start):
            if self._user is None:
                self._user = _open_lock(self.folder, "users.lock")
                fcntl.flock(self._user, fcntl.LOCK_SH)
            try:
                self.adopted = _answers(url)
                if not self.adopted:
                    self._launch(url)
            except BaseException:
                self._leave()
                raise
        return url

    def stop(self) -> bool:
        """Leave the server; stop it, and say so, unless another run still uses it."""
        if self._user is None:
            return False
        with self._turn(_wait):
            last = _try_lock(self._user, fcntl.LOCK_EX)
            if last:
                self._shut_down(state_dir.socket_url(self.folder))
            elif self._process is not None:
                _outliving.append(self._process)
            self._leave()
        return last

    def abandon(self) -> None:
        """Ask the server to end and wait for nothing, unless another run still uses it."""
        if self._user is None or not _try_lock(self._user, fcntl.LOCK_EX):
            return
        if self._process is not None:
            self._process.terminate()
        else:
            _ask_to_end(state_dir.socket_url(self.folder))

    def _turn(self, wait: Wait) -> AbstractContextManager[int]:
        """Have the folder alone for as long as a server is looked for, started or stopped."""
        taken = f"another process is still starting a server in {self.folder}"
        return _locked(self.folder, "start.lock", wait, _TURN_SECONDS, taken)

    def _launch(self, url: str) -> None:
        servers = find_servers(self._environ.get("PATH", os.defpath))
        # The server inherits this lock and holds it as long as it lives. Two servers in one folder
        # would write one another's files; a socket that vanished (a cleaner of temporary files)
        # does not prove that its server did.
        taken = f"a server runs in {self.folder} but does not answer on its socket; stop it"
        only = _locked(self.folder, "server.lock", _wait_to_start, _STOP_SECONDS, taken)
        with only as lock, (self.folder / state_dir.LOG).open("ab") as log:
            if self._process is not None:
                self._process.wait()  # it has ended: the lock is free
            binary = state_dir.choose_server(self.folder, servers)
            with SIGNALS.uninterrupted():  # one that is started is one that we know
                self._process = subprocess.Popen(
                    [str(binary.path), *_options(self.folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    umask=0o077,
                    # Ctrl-C is for the daemon, which still needs the server to drain.
                    start_new_session=True,
                    env={k: v for k, v in self._environ.items() if not k.startswith(_PRIVATE)},
                    pass_fds=(lock,),
                )
        try:
            self._await_start(self._process, url)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def _await_start(self, process: subprocess.Popen[bytes], url: str) -> None:
        done = _wait_to_start(
            lambda: process.poll() is not None or _answers(url, slowly=False), _START_SECONDS
        )
        ended = process.poll()
        if done and ended is None:
            return
        how = f"ended with {ended}" if ended is not None else "did not answer"
        log = self.folder / state_dir.LOG
        lines = log.read_text(errors="replace").splitlines()
        said = lines[-1].strip() if lines else "no output"
        raise Unavailable(f"the embedded server {how} at its start: {said} (see {log})")

    def _shut_down(self, url: str) -> None:
        """Ask the server to save and end; a child that does not is killed (AOF survives that)."""
        _ask_to_end(url)
        process, self._process = self._process, None
        if process is None:
            _wait(lambda: _has_ended(self.folder), _STOP_SECONDS)
        elif not _wait(lambda: process.poll() is not None, _STOP_SECONDS):
            process.kill()
            process.wait()

    def _leave(self) -> None:
        if self._user is not None:
            os.close(self._user)
            self._user = None


def check_startable(folder: Path, environ: Mapping[str, str]) -> None:
    """Find out whether a server could start in a folder, changing nothing.

    Raises `ConfigurationError`, as the start would.
    """
    state_dir.check(folder)
    state_dir.fitting_server(folder, find_servers(environ.get("PATH", os.defpath)))


def connect_url(folder: Path) -> str:
    """Return the URL of the living server of the folder; without one, say how to start it."""
    url = state_dir.socket_url(folder)
    if not _answers(url):
        raise Unavailable(
            f"no embedded server runs in {folder}; start it with: galaxy-notify --embedded run"
        )
    return url


def _ask_to_end(url: str) -> None:
    # It ends without an answer.
    with suppress(redis.RedisError), _client(url) as client:
        client.execute_command("SHUTDOWN")


def _options(folder: Path) -> list[str]:
    options = {
        "dir": str(folder),
        "unixsocket": str(state_dir.socket_path(folder)),
        "unixsocketperm": "700",
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [word for name, text in options.items() for word in (f"--{name}", text)]


def _answers(url: str, *, slowly: bool = True) -> bool:
    """Return whether a server is there: an error reply (loading, disk full) is an answer too.

    *slowly* is what to say of one that holds the socket and lets us wait.
    """
    try:
        with _client(url) as client:
            client.ping()
    except (redis.BusyLoadingError, redis.ResponseError):
        return True
    except redis.TimeoutError:
        return slowly  # it is busy, and a second one must not start
    except redis.ConnectionError:
        return False
    return True


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=_ANSWER_SECONDS,
        socket_connect_timeout=_ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


@contextmanager
def _locked(folder: Path, name: str, wait: Wait, seconds: float, taken: str) -> Iterator[int]:
    """Hold a lock of the folder alone; raise `Unavailable` with *taken* where another keeps it."""
    lock = _open_lock(folder, name)
    try:
        if not wait(lambda: _try_lock(lock, fcntl.LOCK_EX), seconds):
            raise Unavailable(taken)
        yield lock
    finally:
        os.close(lock)


def _has_ended(folder: Path) -> bool:
    lock = _open_lock(folder, "server.lock")
    try:
        return _try_lock(lock, fcntl.LOCK_EX)
    finally:
        os.close(lock)


def _open_lock(folder: Path, name: str) -> int:
    with state_dir.checked(folder):
        return os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_STEP_SECONDS)
    return True


def _wait_to_start(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait, but for no start of a server in a process that is asked to end."""

    def settled() -> bool:
        if SIGNALS.end_signal:
            raise Unavailable("the process is stopping, so no embedded server is started")
        return condition()

    return _wait(settled, seconds)
