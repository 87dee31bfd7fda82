"""The data of the embedded server: never read by a server that would not see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_notify.embedded.server import EmbeddedServer
from galaxy_notify.embedded.state_dir import resolve_state_dir
from galaxy_notify.errors import ConfigurationError
from tests.support.embedded import ONLY_BUNDLED, state_folder
from tests.support.requirements import requires_program


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder for a server."""
    with state_folder() as folder:
        yield folder


@pytest.mark.parametrize(
    ("flavour", "version"), [("valkey", "6.2.0"), ("redis", "7.0.15"), ("redis", "6.2.99")]
)
def test_embedded__refuses_data_of_another_server(folder: Path, flavour: str, version: str) -> None:
    """Data of another flavour or of a newer version is refused before anything is started."""
    folder.mkdir()
    note = folder / "writer.json"
    note.write_text(json.dumps({"flavour": flavour, "version": version}))
    with pytest.raises(ConfigurationError, match=f"written by {flavour} {version}"):
        EmbeddedServer(folder, ONLY_BUNDLED).start()
    assert json.loads(note.read_text()) == {"flavour": flavour, "version": version}


def test_embedded__takes_over_from_an_older_version(folder: Path) -> None:
    """A newer version of the same flavour reads the data, and is remembered from then on."""
    folder.mkdir()
    note = folder / "writer.json"
    note.write_text('{"flavour": "redis", "version": "6.2.0"}')
    server = EmbeddedServer(folder, ONLY_BUNDLED)
    server.start()
    assert json.loads(note.read_text())["version"] != "6.2.0"
    assert server.stop()


def test_embedded__refuses_unsigned_data_of_a_newer_layout(folder: Path) -> None:
    """Data whose writer is forgotten is not read as empty by a server that cannot see it."""
    (folder / "appendonlydir").mkdir(parents=True)
    folder.chmod(0o700)
    with pytest.raises(ConfigurationError, match=r"redis or valkey 7\.0"):
        EmbeddedServer(folder, ONLY_BUNDLED).start()


def test_embedded__refuses_an_unreadable_note(folder: Path) -> None:
    """A damaged note is named, not guessed around."""
    folder.mkdir(mode=0o700)
    (folder / "writer.json").write_text("redis")
    with pytest.raises(ConfigurationError, match=r"writer\.json is invalid"):
        EmbeddedServer(folder, ONLY_BUNDLED).start()


@requires_program("redis-server")
def test_embedded__prefers_the_installed_server_and_keeps_to_it(folder: Path) -> None:
    """The server on the PATH comes first; the bundled one then refuses what it wrote."""
    server = EmbeddedServer(folder)
    server.start()
    assert server.stop()
    assert json.loads((folder / "writer.json").read_text())["flavour"] == "redis"
    with pytest.raises(ConfigurationError, match="install that version or a newer one"):
        EmbeddedServer(folder, ONLY_BUNDLED).start()


def test_embedded__stays_with_the_bundled_server_where_another_appeared(folder: Path) -> None:
    """A server installed later does not lock the data out: the first that can read it serves."""
    programs = folder.parent / "bin"
    programs.mkdir()
    valkey = programs / "valkey-server"
    valkey.write_text("#!/bin/sh\necho 'Valkey server v=8.0.1 sha=0'\n")
    valkey.chmod(0o755)
    first = EmbeddedServer(folder, ONLY_BUNDLED)
    first.start()
    first.stop()
    second = EmbeddedServer(folder, {"PATH": str(programs)})
    second.start()
    assert json.loads((folder / "writer.json").read_text())["flavour"] == "redis"
    second.stop()


def test_embedded__refuses_a_folder_open_to_others(folder: Path) -> None:
    """A folder that others can open, and that holds other things, is refused untouched."""
    folder.mkdir(mode=0o755)
    (folder / "letters").touch()
    with pytest.raises(ConfigurationError, match=r"accessible to other users \(mode 0755\)"):
        EmbeddedServer(folder, ONLY_BUNDLED).start()
    assert folder.stat().st_mode & 0o777 == 0o755


def test_embedded__refuses_a_socket_path_too_long_for_the_kernel(folder: Path) -> None:
    """A folder too deep for a socket is refused by its length."""
    with pytest.raises(ConfigurationError, match="107 is the longest"):
        EmbeddedServer(folder / ("x" * 100), ONLY_BUNDLED).start()


def test_state_dir__is_the_setting_then_systemds_then_the_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The folder is the first that is given."""
    monkeypatch.setenv("HOME", "/home/u")
    environ = {"STATE_DIRECTORY": "/var/lib/gn:/var/lib/other", "XDG_STATE_HOME": "/home/u/s"}
    assert resolve_state_dir("/data", environ) == Path("/data")
    assert resolve_state_dir("~/data", environ) == Path("/home/u/data")
    assert resolve_state_dir("", environ) == Path("/var/lib/gn")
    del environ["STATE_DIRECTORY"]
    assert resolve_state_dir("", environ) == Path("/home/u/s/galaxy-notify")
    assert resolve_state_dir("", {}) == Path("/home/u/.local/state/galaxy-notify")
