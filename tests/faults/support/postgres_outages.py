"""The ways in which Postgres can be away, or there and of no use to a writer."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.postgres import Postgres
from tests.support.wait import HANG_S

PostgresOutage = Callable[[Postgres], AbstractContextManager[None]]

_SIZE = 64 << 20
_END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = '{}'
"""


@contextmanager
def frozen(postgres: Postgres) -> Iterator[None]:
    """Have it take connections and answer nothing."""
    postgres.pause()
    try:
        yield
    finally:
        postgres.resume()


@contextmanager
def killed(postgres: Postgres) -> Iterator[None]:
    """Have it dead: its socket is there, and refuses."""
    postgres.kill()
    try:
        yield
    finally:
        postgres.start()


@contextmanager
def stopped(postgres: Postgres) -> Iterator[None]:
    """Have it ended by an operator: connections end with a reason, and its socket is gone."""
    postgres.stop()
    try:
        yield
    finally:
        postgres.start()


@contextmanager
def closed(postgres: Postgres) -> Iterator[None]:
    """Have it refuse connections to this database."""
    allow = f"ALTER DATABASE {postgres.database} WITH ALLOW_CONNECTIONS"
    with postgres.server.client() as client:
        client.execute(f"{allow} false".encode())
        client.execute(_END_ALL.format(postgres.database).encode())
        try:
            yield
        finally:
            client.execute(f"{allow} true".encode())


@contextmanager
def read_only(postgres: Postgres) -> Iterator[None]:
    """Have it refuse all writes."""
    setting = "ALTER SYSTEM SET default_transaction_read_only"
    with postgres.client(options="-c default_transaction_read_only=off") as client:
        client.execute(f"{setting} = on".encode())
        client.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            client.execute(f"{setting} = off".encode())
            client.execute("SELECT pg_reload_conf()")


@contextmanager
def disk_full(postgres: Postgres) -> Iterator[None]:
    """Have the disk that the items lie on full; skip the test where none can be mounted."""
    folder = postgres.server.folder / "small"
    folder.mkdir()
    if not _ran("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "gn-test", str(folder)):
        pytest.skip("needs the right to mount")
    try:
        space = folder / "space"
        space.mkdir(mode=0o700)
        postgres.server.own(space)
        with postgres.client() as client:
            client.execute(f"CREATE TABLESPACE small LOCATION '{space}'".encode())
            client.execute("ALTER TABLE feed_item SET TABLESPACE small")
        filler = folder / "filler"
        _fill(filler)
        yield
        filler.unlink()
        with postgres.client() as client:
            client.execute("ALTER TABLE feed_item SET TABLESPACE pg_default")
    finally:
        _ran("umount", "--lazy", str(folder))


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while filler.write(b"x" * 4096):
            pass


def _ran(*command: str) -> bool:
    with suppress(OSError):
        done = subprocess.run(command, capture_output=True, check=False, timeout=HANG_S)
        return done.returncode == 0
    return False


OUTAGES: dict[str, PostgresOutage] = {
    "frozen": frozen,
    "killed": killed,
    "stopped": stopped,
    "closed": closed,
    "read_only": read_only,
    "disk_full": disk_full,
}
