"""The embedded Postgres: one per folder, adopted when alive, stopped by whoever leaves last."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_notify.embedded.postgres import EmbeddedPostgres, check_startable, connect_url
from galaxy_notify.errors import ConfigurationError, Unavailable
from tests.support.embedded_postgres import (
    client_of,
    first_line,
    has_ended,
    is_down,
    kill_postgres,
    postgres_pid,
    postgres_state,
    start_in_another_process,
)
from tests.support.wait import HANG_S, wait_until


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder for a server."""
    with postgres_state() as folder:
        yield folder


def _make_table(url: str) -> None:
    with client_of(url) as client:
        client.execute("CREATE TABLE kept (id int)")
        client.execute("INSERT INTO kept VALUES (1)")


def _has_row(url: str) -> bool:
    with client_of(url) as client:
        return client.execute("SELECT id FROM kept").fetchall() == [(1,)]


def test_embedded_postgres__starts_serves_and_stops(folder: Path) -> None:
    """A start gives a private server that keeps what it has; a stop ends it."""
    server = EmbeddedPostgres(folder)
    url = server.start()
    assert not server.adopted
    assert connect_url(folder) == url
    with client_of(url) as client:
        settings = dict(client.execute("SELECT name, setting FROM pg_settings").fetchall())
    assert settings["listen_addresses"] == ""
    assert (settings["fsync"], settings["synchronous_commit"]) == ("on", "on")
    assert settings["server_encoding"] == "UTF8"
    assert folder.stat().st_mode & 0o777 == 0o700
    _make_table(url)
    assert server.stop()
    assert is_down(folder)

    again = EmbeddedPostgres(folder)
    assert _has_row(again.start())
    assert again.stop()
    assert not again.stop()


def test_embedded_postgres__is_shared_and_the_last_one_stops_it(folder: Path) -> None:
    """A second process adopts the living server; whoever leaves last stops it."""
    first, second = EmbeddedPostgres(folder), EmbeddedPostgres(folder)
    first.start()
    second.start()
    assert (first.adopted, second.adopted) == (False, True)
    assert not first.stop()
    assert not is_down(folder)
    assert second.stop()
    assert is_down(folder)


def test_embedded_postgres__is_started_once_by_two_at_once(folder: Path) -> None:
    """Of two processes that begin together one makes the data and starts the server."""
    both = [start_in_another_process(folder) for _ in range(2)]
    assert sorted(first_line(process) for process in both) == ["adopted", "started"]
    both[0].communicate(timeout=HANG_S)
    assert not is_down(folder)
    both[1].communicate(timeout=HANG_S)
    assert has_ended(folder)


def test_embedded_postgres__outlives_a_killed_process_and_is_adopted(folder: Path) -> None:
    """After a kill of its starter alone the server lives on; the next adopts and then stops it."""
    with start_in_another_process(folder) as process:
        assert first_line(process) == "started"
        process.kill()
    pid = postgres_pid(folder)
    heir = EmbeddedPostgres(folder)
    heir.start()
    assert heir.adopted
    assert postgres_pid(folder) == pid
    assert heir.stop()
    assert has_ended(folder)


def test_embedded_postgres__comes_back_after_all_were_killed(folder: Path) -> None:
    """After a kill of everything the next start has all that was committed."""
    with start_in_another_process(folder) as process:
        assert first_line(process) == "started"
        _make_table(connect_url(folder))
        process.kill()
    kill_postgres(folder)
    assert (folder / "data" / "postmaster.pid").exists()
    server = EmbeddedPostgres(folder)
    assert _has_row(server.start())
    assert not server.adopted
    assert server.stop()


def test_embedded_postgres__starts_where_a_note_names_another_process(folder: Path) -> None:
    """The process id of a killed server may be another process's by now: it is not waited for."""
    server = EmbeddedPostgres(folder)
    server.start()
    kill_postgres(folder)
    for note in (folder / "data" / "postmaster.pid", folder / ".s.PGSQL.5432.lock"):
        _, rest = note.read_text().split("\n", 1)
        note.write_text(f"{os.getppid()}\n{rest}")
    server.start()
    assert not server.adopted
    assert server.stop()


def test_embedded_postgres__is_started_again_when_it_died(folder: Path) -> None:
    """A process whose server died starts it again by the same call."""
    server = EmbeddedPostgres(folder)
    _make_table(server.start())
    kill_postgres(folder)
    assert _has_row(server.start())
    assert server.stop()


def test_embedded_postgres__makes_its_data_again_after_a_kill_midway(folder: Path) -> None:
    """What a process that was killed has half made is removed."""
    (folder / "data.new").mkdir(parents=True)
    folder.chmod(0o700)
    (folder / "data.new" / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(folder)
    server.start()
    assert not (folder / "data.new").exists()
    assert server.stop()


def test_embedded_postgres__is_abandoned_without_waiting(folder: Path) -> None:
    """A process that must end at once asks the server to end, unless another one uses it."""
    first, second = EmbeddedPostgres(folder), EmbeddedPostgres(folder)
    first.start()
    second.start()
    first.abandon()
    assert not is_down(folder)
    first.stop()
    with client_of(connect_url(folder)):
        second.abandon()
        wait_until(lambda: has_ended(folder), "the server ends, though a client is connected")
    second.stop()


def test_embedded_postgres__is_not_stopped_by_a_process_that_was_forked(folder: Path) -> None:
    """A worker that a process has forked leaves nothing and stops nothing."""
    server = EmbeddedPostgres(folder)
    server.start()
    if (pid := os.fork()) == 0:
        try:
            server.abandon()
            os._exit(1 if server.stop() else 0)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not is_down(folder)
    assert server.stop()


def test_embedded_postgres__ends_a_server_that_does_not_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is frozen when it is to end is killed, and keeps what was committed."""
    monkeypatch.setattr("galaxy_notify.embedded.postgres._STOP_SECONDS", 0.5)
    server = EmbeddedPostgres(folder)
    _make_table(server.start())
    os.kill(postgres_pid(folder), signal.SIGSTOP)
    assert server.stop()
    monkeypatch.undo()
    assert _has_row(server.start())
    assert server.stop()


def test_embedded_postgres__starts_no_second_server_where_a_socket_vanished(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without its socket still owns its files: a second one is refused."""
    monkeypatch.setattr("galaxy_notify.embedded.postgres._STOP_SECONDS", 0.1)
    server = EmbeddedPostgres(folder)
    server.start()
    hidden = folder / "hidden.sock"
    (folder / ".s.PGSQL.5432").rename(hidden)
    with pytest.raises(Unavailable, match="does not answer"):
        EmbeddedPostgres(folder).start()
    hidden.rename(folder / ".s.PGSQL.5432")
    monkeypatch.undo()
    assert server.stop()


def test_embedded_postgres__says_how_to_start_it(folder: Path) -> None:
    """A command that finds no server says in one line how to start it."""
    with pytest.raises(Unavailable, match="start it with: galaxy-notify feed") as raised:
        connect_url(folder)
    assert "\n" not in str(raised.value)


def test_embedded_postgres__says_why_a_server_ended_at_its_start(folder: Path) -> None:
    """A server that cannot use its settings ends the start, with its own last words."""
    server = EmbeddedPostgres(folder)
    server.start()
    server.stop()
    (folder / "data" / "postgresql.auto.conf").write_text("shared_buffers = 'no size'\n")
    with pytest.raises(Unavailable, match=r"ended with 1 at its start: .*FATAL.*contains errors"):
        server.start()
    assert not server.stop()


def test_embedded_postgres__names_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any server, one line names what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr("galaxy_notify.embedded.postgres_binaries._DEBIAN", folder)
    for start in (EmbeddedPostgres(folder, {"PATH": ""}).start, lambda: _check(folder)):
        with pytest.raises(ConfigurationError, match="or install postgresql") as raised:
            start()
        assert "\n" not in str(raised.value)


def _check(folder: Path) -> None:
    check_startable(folder, {"PATH": ""})


@pytest.mark.parametrize("note", ["99", "14.2 or so", ""])
def test_embedded_postgres__refuses_data_of_another_major(folder: Path, note: str) -> None:
    """Data of another major version, or of nobody knows which, is refused and left as it is."""
    (folder / "data").mkdir(parents=True)
    folder.chmod(0o700)
    (folder / "data" / "PG_VERSION").write_text(f"{note}\n")
    expected = "was written by postgres 99; install that" if note == "99" else "does not name a"
    for start in (EmbeddedPostgres(folder).start, lambda: check_startable(folder, os.environ)):
        with pytest.raises(ConfigurationError, match=expected) as raised:
            start()
        assert "\n" not in str(raised.value)
    assert (folder / "data" / "PG_VERSION").read_text() == f"{note}\n"


def test_embedded_postgres__refuses_a_folder_open_to_others(folder: Path) -> None:
    """A folder that others can open, and that holds other things, is refused untouched."""
    folder.mkdir(mode=0o755)
    (folder / "letters").touch()
    with pytest.raises(ConfigurationError, match=r"accessible to other users \(mode 0755\)"):
        EmbeddedPostgres(folder).start()
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("name", "reason"), [("x" * 100, "107 is the longest"), ("a,b", "must not contain a comma")]
)
def test_embedded_postgres__refuses_a_path_that_no_client_reaches(
    folder: Path, name: str, reason: str
) -> None:
    """A folder is refused whose socket no client could name."""
    with pytest.raises(ConfigurationError, match=reason):
        EmbeddedPostgres(folder / name).start()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["a space", 'it\'s "quoted"', "50%", "ü&x=y"])
def test_embedded_postgres__serves_in_a_folder_with_such_a_name(folder: Path, name: str) -> None:
    """What a name may hold reaches server and client."""
    folder.mkdir()
    server = EmbeddedPostgres(folder / name)
    with client_of(server.start()) as client:
        assert client.execute("SELECT 1").fetchone() == (1,)
    assert server.stop()


def test_embedded_postgres__takes_nothing_from_the_environment_of_clients(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables for other programs of Postgres do not change where it is or what it speaks."""
    for name, value in {"PGPORT": "7777", "PGDATA": "/", "LANG": "xx_XX", "LC_ALL": "xx"}.items():
        monkeypatch.setenv(name, value)
    server = EmbeddedPostgres(folder)
    with client_of(server.start()) as client:
        assert client.execute("SHOW lc_messages").fetchone() == ("C",)
    assert server.stop()
