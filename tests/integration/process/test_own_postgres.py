"""The embedded Postgres of the processes that serve: started, shared, left and watched by them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from galaxy_notify.embedded.postgres import connect_url, server_url
from tests.support.embedded_postgres import (
    client_of,
    has_ended,
    is_down,
    kill_postgres,
    postgres_pid,
    postgres_state,
)
from tests.support.gateways import AUDIENCE, SECRET
from tests.support.program import PROGRAM, ROOT, environment, program
from tests.support.servers import Server, free_port
from tests.support.wait import HANG_S, wait_until

REALTIME = {
    "JWT_ALGORITHM": "HS256",
    "JWT_SECRET": SECRET,
    "AUDIENCE": AUDIENCE,
    "PORT": "0",
}
COMMANDS = ["run", "feed", "gateway", "serve", "serve of two"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give the folder of the Postgres of a deployment."""
    with postgres_state() as folder:
        yield folder


def _variables(folder: Path, **settings: str) -> dict[str, str]:
    given = {
        "FEED__URL": "embedded",
        "FEED__ENABLED": "true",
        "REDIS__STATE_DIR": str(folder).removesuffix("-postgres"),
        "HTTP__PORT": str(free_port()),
        **{f"REALTIME__{name}": value for name, value in REALTIME.items()},
        **settings,
    }
    return {f"GALAXY_NOTIFY_{name}": value for name, value in given.items()}


@contextmanager
def _serving(
    server: Server, folder: Path, command: str, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a command while the block runs."""
    if command == "serve of two":
        settings = settings | {"HTTP__WORKERS": "2"}
    with subprocess.Popen(
        [*PROGRAM, command.split()[0]],
        cwd=ROOT,
        env=environment(server, **_variables(folder, **settings)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


@pytest.mark.parametrize("command", COMMANDS)
def test_command__starts_and_migrates_a_postgres_and_stops_it(
    server: Server, folder: Path, command: str
) -> None:
    """It says where the Postgres is, which has the schema, and ends it with itself."""
    with _serving(server, folder, command) as process:
        assert _said(process) == f"Started an embedded Postgres in {folder}\n"
        with client_of(connect_url(folder)) as client:
            assert client.execute("SELECT FROM feed_migration").rowcount > 0
        _end(process)
    assert has_ended(folder)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, errors


@pytest.mark.parametrize("command", COMMANDS)
def test_command__shares_the_postgres_of_another(
    server: Server, folder: Path, command: str
) -> None:
    """It adopts the living Postgres; whoever ends last ends that."""
    with _serving(server, folder, "run") as first:
        assert _said(first).startswith("Started an")
        with _serving(server, folder, command) as second:
            assert _said(second) == f"Adopted the running embedded Postgres in {folder}\n"
            _end(first)
            assert not is_down(folder)
            _end(second)
    assert has_ended(folder)


def test_run__leaves_a_postgres_behind_where_it_is_killed(server: Server, folder: Path) -> None:
    """A kill of the daemon does not end the Postgres, and the next daemon ends it."""
    with _serving(server, folder, "run") as process:
        assert _said(process).startswith("Started an")
        process.kill()
    pid = postgres_pid(folder)
    with _serving(server, folder, "run") as process:
        assert _said(process).startswith("Adopted the")
        assert postgres_pid(folder) == pid
        _end(process)
    assert has_ended(folder)


def test_run__starts_a_postgres_again_that_died(server: Server, folder: Path) -> None:
    """A daemon looks after its Postgres while it publishes."""
    with _serving(server, folder, "run") as process:
        assert _said(process).startswith("Started an")
        kill_postgres(folder)
        wait_until(lambda: not is_down(folder), "Postgres runs again")
        _end(process)
    assert has_ended(folder)


def test_run__writes_the_feed_into_its_postgres(server: Server, folder: Path) -> None:
    """What is accepted for the feed comes into it, also after Postgres was killed."""
    given = _variables(folder, WORKER__CHANNELS='["in_app"]')

    def users() -> set[str]:
        with client_of(server_url(folder)) as client:
            return {user for (user,) in client.execute("SELECT user_id FROM feed_item").fetchall()}

    def has(user: str) -> bool:
        try:
            return user in users()
        except psycopg.OperationalError:
            return False

    with _serving(server, folder, "run", WORKER__CHANNELS='["in_app"]') as process:
        assert _said(process).startswith("Started an")
        _accept(server, given, "ada")
        wait_until(lambda: has("ada"), "the first is in the feed")
        kill_postgres(folder)
        _accept(server, given, "grace")
        wait_until(lambda: has("grace"), "the second is in the feed")
        assert users() == {"ada", "grace"}
        _end(process)
    assert has_ended(folder)


def _accept(server: Server, variables: dict[str, str], user: str) -> None:
    intent = {"type": "t", "producer": "p", "recipients": [user], "channels": ["in_app"]}
    done = program(server, "accept", stdin=json.dumps(intent), **variables)
    assert done.returncode == 0, done.stderr


def test_run__starts_no_postgres_without_a_feed(server: Server, folder: Path) -> None:
    """A daemon that writes no feed needs none."""
    done = program(server, "config", "check", **_variables(folder, FEED__ENABLED="false"))
    assert done.returncode == 0, done.stderr
    with subprocess.Popen(
        [*PROGRAM, "run"],
        cwd=ROOT,
        env=environment(server, **_variables(folder, FEED__ENABLED="false")),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        while "daemon working" not in process.stderr.readline():
            pass
        _end(process)
    assert not folder.exists()


def test_run__publishes_where_its_postgres_does_not_start(server: Server, folder: Path) -> None:
    """It says why, and works without."""
    with _serving(server, folder, "run") as process:
        _said(process)
        _end(process)
    (folder / "data" / "postgresql.auto.conf").write_text("shared_buffers = 'no size'\n")
    with _serving(server, folder, "run") as process:
        assert _said(process).startswith("Starting without the embedded Postgres: the embedded")
        assert process.stderr is not None
        while "daemon working" not in process.stderr.readline():
            pass
        (folder / "data" / "postgresql.auto.conf").write_text("")
        wait_until(lambda: not is_down(folder), "Postgres runs after all")
        _end(process)
    assert has_ended(folder)


@pytest.mark.parametrize("command", ["run", "feed", "gateway", "serve", "config check"])
def test_command__refuses_a_postgres_that_cannot_be_used(
    server: Server, folder: Path, command: str
) -> None:
    """Data of another major version ends it with 78 and one line, as the check says."""
    (folder / "data").mkdir(parents=True)
    folder.chmod(0o700)
    (folder / "data" / "PG_VERSION").write_text("99\n")
    done = program(server, *command.split(), **_variables(folder))
    assert done.returncode == 78
    assert "was written by postgres 99" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run__ends_while_its_postgres_is_being_made(
    server: Server, folder: Path, number: signal.Signals
) -> None:
    """A signal before the Postgres is there ends the daemon with 0, and leaves none behind."""
    with _serving(server, folder, "run") as process:
        # Where this process is slow to look, the data is there by then: the end is the same.
        made = [folder / "data.new", folder / "data"]
        wait_until(lambda: any(path.exists() for path in made), "the data is being made")
        process.send_signal(number)
        process.communicate(timeout=HANG_S)
        assert process.returncode == 0
    assert has_ended(folder)


def test_run__asks_its_postgres_to_end_at_the_second_signal(server: Server, folder: Path) -> None:
    """A daemon that must not wait for its Postgres ends with 1, and leaves none behind."""
    with _serving(server, folder, "run") as process:
        assert _said(process).startswith("Started an")
        pid = postgres_pid(folder)
        os.kill(pid, signal.SIGSTOP)
        process.terminate()
        assert process.stderr is not None
        while "daemon stopped" not in process.stderr.readline():
            pass
        process.terminate()
        assert process.wait(HANG_S) == 1
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: has_ended(folder), "Postgres ends")
