"""As whom the embedded Postgres runs: never as root, and nothing on the machine is changed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from galaxy_notify.embedded.postgres import EmbeddedPostgres, check_startable, connect_url
from galaxy_notify.errors import ConfigurationError
from tests.support.embedded_postgres import client_of, open_to_all, postgres_state
from tests.support.postgres import postgres_found

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

_NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder that every user may enter, and have servers looked for in it."""
    with open_to_all() as programs:
        if postgres_found().bundled:
            monkeypatch.setattr("galaxy_notify.embedded.postgres_binaries._DEBIAN", programs)
        yield programs


@pytest.fixture
def no_namespaces(tmp_path: Path) -> dict[str, str]:
    """Give an environment without the program that makes a namespace."""
    (tmp_path / "setpriv").symlink_to(str(shutil.which("setpriv")))
    return {"PATH": str(tmp_path)}


def _make_table(url: str) -> None:
    with client_of(url) as client:
        client.execute("CREATE TABLE kept (id int)")


def _tables(url: str) -> int:
    with client_of(url) as client:
        return len(client.execute("SELECT FROM pg_tables WHERE tablename = 'kept'").fetchall())


def test_root__has_a_server_below_a_folder_closed_to_others() -> None:
    """Root's server reads what root may read; all its files are root's."""
    with postgres_state() as folder:
        closed = folder.parent
        server = EmbeddedPostgres(folder)
        _make_table(server.start())
        assert closed.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_uid for path in (folder, *folder.rglob("*"))} == {0}
        assert server.stop()


def test_root__has_a_server_that_lets_no_other_user_in(reachable: Path) -> None:
    """Who may not open the folder gets no connection."""
    folder = reachable / "state-postgres"
    server = EmbeddedPostgres(folder)
    url = server.start()
    psql = next(reachable.glob("*/bin"), postgres_found().folder) / "psql"
    nobody = ["setpriv", f"--reuid={_NOBODY.pw_uid}", "--clear-groups"]
    done = subprocess.run(
        [*nobody, str(psql), url, "-c", "SELECT 1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Permission denied" in done.stderr
    assert server.stop()


def test_root__is_nobody_where_namespaces_are_forbidden(
    reachable: Path, no_namespaces: dict[str, str]
) -> None:
    """Its folder is nobody's then, and stays so where namespaces are allowed later."""
    folder = reachable / "state-postgres"
    server = EmbeddedPostgres(folder, no_namespaces)
    _make_table(server.start())
    assert folder.stat().st_uid == _NOBODY.pw_uid
    assert folder.stat().st_mode & 0o777 == 0o700
    assert server.stop()
    again = EmbeddedPostgres(folder)
    assert _tables(again.start()) == 1
    assert folder.stat().st_uid == _NOBODY.pw_uid
    assert again.stop()


def test_root__is_given_a_way_out_where_nobody_gets_nowhere(
    reachable: Path, no_namespaces: dict[str, str]
) -> None:
    """Below a folder that only root may enter, one line says what to do, and nothing is made."""
    closed = reachable / "closed"
    closed.mkdir(mode=0o700)
    folder = closed / "state-postgres"
    with pytest.raises(ConfigurationError, match="run galaxy-notify as another user") as raised:
        check_startable(folder, no_namespaces)
    assert "\n" not in str(raised.value)
    assert not folder.exists()
    with pytest.raises(ConfigurationError, match="run galaxy-notify as another user"):
        EmbeddedPostgres(folder, no_namespaces).start()
    assert not (folder / "data").exists()


def test_root__keeps_its_data_where_namespaces_are_forbidden_later(
    reachable: Path, no_namespaces: dict[str, str]
) -> None:
    """Data that is root's own is refused, not handed to another user."""
    folder = reachable / "state-postgres"
    server = EmbeddedPostgres(folder, {"PATH": os.environ["PATH"]})
    server.start()
    server.stop()
    with pytest.raises(ConfigurationError, match="run galaxy-notify as another user"):
        EmbeddedPostgres(folder, no_namespaces).start()
    assert (folder / "data").stat().st_uid == 0


def test_another_user__has_a_server_of_its_own(reachable: Path) -> None:
    """A user without rights needs neither a namespace nor another user."""
    folder = reachable / "of-nobody" / "state-postgres"
    folder.parent.mkdir()
    os.chown(folder.parent, _NOBODY.pw_uid, _NOBODY.pw_gid)

    def use() -> None:
        server = EmbeddedPostgres(folder)
        _make_table(server.start())
        assert connect_url(folder)
        assert server.stop()
        assert _tables(server.start()) == 1
        assert server.stop()

    assert _run_as_nobody(use) == 0
    assert folder.stat().st_uid == _NOBODY.pw_uid


def test_another_user__is_refused_the_folder_of_root(reachable: Path) -> None:
    """A folder of somebody else is not used, whatever its mode."""
    folder = reachable / "state-postgres"
    folder.mkdir(mode=0o755)

    def use() -> None:
        with pytest.raises(ConfigurationError, match="belongs to another user"):
            EmbeddedPostgres(folder).start()

    assert _run_as_nobody(use) == 0


def _run_as_nobody(use: Callable[[], None]) -> int:
    """Run a part of the test in a process of nobody's, and return its exit code."""
    if (pid := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setresgid(_NOBODY.pw_gid, _NOBODY.pw_gid, _NOBODY.pw_gid)
            os.setresuid(_NOBODY.pw_uid, _NOBODY.pw_uid, _NOBODY.pw_uid)
            use()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
