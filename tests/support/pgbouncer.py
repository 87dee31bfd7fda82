"""A PgBouncer in front of a Postgres of the tests: each transaction may get another connection."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

from galaxy_notify.embedded.postgres_user import server_user
from tests.support.postgres import USER, Postgres, postgres_found
from tests.support.requirements import requires_program
from tests.support.servers import Server, free_port
from tests.support.wait import HANG_S, wait_until

PROGRAM: Final = "pgbouncer"
#: For a test that runs one.
needs_pgbouncer: pytest.MarkDecorator = requires_program(PROGRAM)

_SETTINGS = """\
[databases]
* = host={postgres} port={postgres_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
admin_users = {user}
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
pidfile = {folder}/pid
"""


class PgBouncer:
    """A process of it in transaction mode; `url` leads through it to the database of a test."""

    def __init__(self, postgres: Postgres, connections: int) -> None:
        self.port = free_port()
        self._database = postgres.database
        self._folder = Path(tempfile.mkdtemp(prefix="gn-bouncer-", dir=Server.root))
        self._user = server_user(postgres_found().folder, self._folder / "data", os.environ)
        self._process: subprocess.Popen[bytes] | None = None
        settings = _SETTINGS.format(
            postgres=postgres.server.folder,
            postgres_port=postgres.server.port,
            port=self.port,
            folder=self._folder,
            user=USER,
            connections=connections,
        )
        (self._folder / "pgbouncer.ini").write_text(settings)
        (self._folder / "users").write_text(f'"{USER}" ""\n')
        self._user.own(self._folder)

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{self._database}"

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start the process and wait until it hands a connection on."""
        program = Path(str(shutil.which(PROGRAM)))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._user.command(program, str(self._folder / "pgbouncer.ini")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._serves, "PgBouncer serves")

    def stop(self) -> None:
        """End the process at once; it ends the connections of its clients."""
        if self._process is not None:
            self._process.kill()  # what SIGTERM waits for depends on its version
            self._process.wait(HANG_S)
            self._process = None

    def remove(self) -> None:
        """End the process and remove its folder."""
        self.stop()
        shutil.rmtree(self._folder)

    def _serves(self) -> bool:
        if self._process is not None and (code := self._process.poll()) is not None:
            raise AssertionError(f"PgBouncer ended with {code}:\n{self.log}")
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running_pgbouncer(postgres: Postgres, *, connections: int = 4) -> Iterator[PgBouncer]:
    """Run a PgBouncer in front of the server of a database, with so few connections to it."""
    bouncer = PgBouncer(postgres, connections)
    try:
        bouncer.start()
        yield bouncer
    finally:
        bouncer.remove()
