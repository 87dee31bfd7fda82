"""The embedded server: a Redis or Valkey of our own, on a private UNIX socket.

The last `run` to leave stops it; see `shared_use`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from galaxy_notify.embedded import state_dir
from galaxy_notify.embedded.binaries import find_servers
from galaxy_notify.embedded.environment import server_environ
from galaxy_notify.embedded.shared_use import SharedUse
from galaxy_notify.embedded.waiting import wait, wait_to_start
from galaxy_notify.errors import Unavailable
from galaxy_notify.signals import SIGNALS

_ANSWER_SECONDS = 2.0
_START_SECONDS = 10.0
_STOP_SECONDS = 10.0
_TURN_SECONDS = _START_SECONDS + _STOP_SECONDS

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
        self._use = SharedUse(state_dir.server_folder(folder))

    def start(self) -> str:
        """Start the server, or adopt the living one, and return its URL.

        Asked again, it starts a server that has died in between. Raises `Unavailable` where none
        comes up, or where a signal asks the process to end meanwhile: then none is left.
        """
        url = state_dir.socket_url(self.folder)
        state_dir.server_folder(self.folder).prepare()
        with self._use.turn(wait_to_start, _TURN_SECONDS):
            self._use.join()
            try:
                self.adopted = _answers(url)
                if not self.adopted:
                    self._launch(url)
            except BaseException:
                self._use.leave()
                raise
        return url

    def stop(self) -> bool:
        """Leave the server; stop it, and say so, unless another run still uses it."""
        if not self._use.joined:
            return False
        with self._use.turn(wait, _TURN_SECONDS):
            last = self._use.is_last()
            if last:
                self._shut_down(state_dir.socket_url(self.folder))
            elif self._process is not None:
                _outliving.append(self._process)
            self._use.leave()
        return last

    def abandon(self) -> None:
        """Ask the server to end and wait for nothing, unless another run still uses it."""
        if not self._use.is_last():
            return
        if self._process is not None:
            self._process.terminate()
        else:
            _ask_to_end(state_dir.socket_url(self.folder))

    def _launch(self, url: str) -> None:
        servers = find_servers(self._environ.get("PATH", os.defpath))
        place = self._use.place(_STOP_SECONDS)
        with place as lock, (self.folder / state_dir.LOG).open("ab") as log:
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
                    env=server_environ(self._environ),
                    pass_fds=(lock,),
                )
        try:
            self._await_start(self._process, url)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def _await_start(self, process: subprocess.Popen[bytes], url: str) -> None:
        done = wait_to_start(
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
            wait(self._use.server_has_ended, _STOP_SECONDS)
        elif not wait(lambda: process.poll() is not None, _STOP_SECONDS):
            process.kill()
            process.wait()


def check_startable(folder: Path, environ: Mapping[str, str]) -> None:
    """Find out whether a server could start in a folder, changing nothing.

    Raises `ConfigurationError`, as the start would.
    """
    state_dir.server_folder(folder).check()
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
