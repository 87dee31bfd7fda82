"""The embedded server: one per folder, adopted when alive, stopped by whoever leaves last."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_notify.embedded.server import EmbeddedServer, connect_url
from galaxy_notify.errors import ConfigurationError, Unavailable
from tests.support.embedded import (
    ONLY_BUNDLED,
    client_of,
    is_down,
    kill_server,
    server_pid,
    state_folder,
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder for a server."""
    with state_folder() as folder:
        yield folder


def test_embedded__starts_serves_and_stops(folder: Path) -> None:
    """A start gives a private server that keeps what it has; a stop ends it."""
    server = EmbeddedServer(folder, ONLY_BUNDLED)
    url = server.start()
    assert not server.adopted
    assert connect_url(folder) == url == f"unix://{folder}/redis.sock?db=0"
    with client_of(url) as client:
        config = client.config_get("*")
        client.set("kept", "1")
    assert (config["appendonly"], config["appendfsync"]) == ("yes", "everysec")
    assert (config["port"], config["maxmemory-policy"]) == ("0", "noeviction")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert server.stop()
    assert is_down(folder)

    again = EmbeddedServer(folder, ONLY_BUNDLED)
    with client_of(again.start()) as client:
        assert client.get("kept") == "1"
    assert again.stop()
    assert not again.stop()


def test_embedded__is_shared_and_the_last_one_stops_it(folder: Path) -> None:
    """A second run adopts the living server; whoever leaves last stops it."""
    first, second = EmbeddedServer(folder, ONLY_BUNDLED), EmbeddedServer(folder, ONLY_BUNDLED)
    first.start()
    second.start()
    assert (first.adopted, second.adopted) == (False, True)
    assert not first.stop()
    assert connect_url(folder)
    assert second.stop()
    assert is_down(folder)


_RUN = """
import sys, pathlib
from galaxy_notify.embedded.server import EmbeddedServer
server = EmbeddedServer(pathlib.Path(sys.argv[1]), {"PATH": ""})
print("adopted" if server.adopted else server.start(), flush=True)
sys.stdin.read()
"""


def _run_in_another_process(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("unix://")
    return process


def _kill(process: subprocess.Popen[str]) -> None:
    with process:
        process.kill()


def test_embedded__outlives_a_killed_run_and_is_adopted(folder: Path) -> None:
    """After a kill of the run alone the server lives on; the next run adopts and then stops it."""
    _kill(_run_in_another_process(folder))
    pid = server_pid(folder)
    heir = EmbeddedServer(folder, ONLY_BUNDLED)
    heir.start()
    assert heir.adopted
    assert server_pid(folder) == pid
    assert heir.stop()
    assert is_down(folder)


def test_embedded__comes_back_after_both_were_killed(folder: Path) -> None:
    """After a kill of run and server the next run starts with everything that was acknowledged."""
    process = _run_in_another_process(folder)
    with client_of(connect_url(folder)) as client:
        client.set("kept", "1")
    _kill(process)
    kill_server(folder)
    server = EmbeddedServer(folder, ONLY_BUNDLED)
    with client_of(server.start()) as client:
        assert client.get("kept") == "1"
    assert not server.adopted
    server.stop()


def test_embedded__is_started_again_when_it_died(folder: Path) -> None:
    """A run whose server died starts it anew by the same call."""
    server = EmbeddedServer(folder, ONLY_BUNDLED)
    server.start()
    kill_server(folder)
    server.start()
    assert connect_url(folder)
    assert server.stop()


def test_embedded__starts_no_second_server_where_a_socket_vanished(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without its socket still owns its files: a second one is refused."""
    monkeypatch.setattr("galaxy_notify.embedded.server._STOP_SECONDS", 0.1)
    server = EmbeddedServer(folder, ONLY_BUNDLED)
    server.start()
    pid = server_pid(folder)
    hidden = folder / "hidden.sock"
    (folder / "redis.sock").rename(hidden)
    with pytest.raises(Unavailable, match="does not answer"):
        EmbeddedServer(folder, ONLY_BUNDLED).start()
    hidden.rename(folder / "redis.sock")
    assert server_pid(folder) == pid
    monkeypatch.undo()
    assert server.stop()


def test_embedded__says_how_to_start_it(folder: Path) -> None:
    """A command that finds no server says in one line how to start it."""
    with pytest.raises(Unavailable, match="galaxy-notify --embedded run") as raised:
        connect_url(folder)
    assert "\n" not in str(raised.value)


def test_embedded__names_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any server, one line names what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match="install redis-server or valkey-server") as raised:
        EmbeddedServer(folder, ONLY_BUNDLED).start()
    assert "\n" not in str(raised.value)


def test_embedded__tells_why_a_server_ended_at_its_start(folder: Path) -> None:
    """A server that cannot read its data ends the start, with its own last words."""
    folder.mkdir(mode=0o700)
    (folder / "appendonly.aof").write_text("this is no append-only file\n")
    with pytest.raises(Unavailable, match=r"ended with 1 at its start: .*Bad file format"):
        EmbeddedServer(folder, ONLY_BUNDLED).start()


_MUTE = """\
#!{python}
import signal, socket, sys
if "--version" in sys.argv:
    print("Redis server v=7.0.0 sha=00000000:0 malloc=libc bits=64 build=0")
else:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(sys.argv[sys.argv.index("--unixsocket") + 1])
    listening.listen()
    signal.pause()
"""


def test_embedded__does_not_take_a_mute_server_for_started(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that listens and answers nothing has not started; it is ended."""
    mute = tmp_path / "redis-server"
    mute.write_text(_MUTE.format(python=sys.executable))
    mute.chmod(0o755)
    monkeypatch.setattr("galaxy_notify.embedded.server._ANSWER_SECONDS", 0.1)
    monkeypatch.setattr("galaxy_notify.embedded.server._START_SECONDS", 1.0)
    with pytest.raises(Unavailable, match="did not answer at its start"):
        EmbeddedServer(folder, {"PATH": str(tmp_path)}).start()
    assert is_down(folder)
