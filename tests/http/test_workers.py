"""Several processes on one address: they start, die, are started again and stop as one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import daemons
from tests.support.api import INTENT, PATH, ApiProcess, api_on, entry
from tests.support.daemons import supervisor
from tests.support.program import PROGRAM
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

_IGNORING = (
    "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
_BODY = b'{"type":"t","producer":"p","recipients":["u1"]}'


def _pids(process: ApiProcess, started: int) -> dict[int, int]:
    """Return the process of each worker, once so many have been started in all."""
    name = "http worker started"
    wait_until(lambda: len(process.lines(name)) >= started, f"{started} starts of workers")
    return {line["worker"]: line["pid"] for line in process.lines(name)}


def _in_hand(process: ApiProcess) -> socket.socket:
    """Begin a request whose body is still to come."""
    url = urlsplit(process.url)
    peer = socket.create_connection((url.hostname, url.port), timeout=HANG_S)
    head = (f"POST {PATH} HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    more = (f"Content-Length: {len(_BODY)}", "Expect: 100-continue", "", "")
    peer.sendall("\r\n".join([*head, *more]).encode())
    assert peer.recv(100).startswith(b"HTTP/1.1 100 ")
    return peer


def _answer(peer: socket.socket) -> bytes:
    with peer:
        peer.sendall(_BODY)
        return peer.recv(4096)


def _health(process: ApiProcess) -> httpx.Response:
    return httpx.get(f"{process.url}/healthz", timeout=HANG_S)


def _is_refused(process: ApiProcess) -> bool:
    url = urlsplit(process.url)
    try:
        socket.create_connection((url.hostname, url.port), timeout=HANG_S).close()
    except ConnectionRefusedError:
        return True
    return False


def _serving(process: ApiProcess) -> set[int]:
    return {line["worker"] for line in process.lines("request")}


def test_workers__share_the_address_and_the_metrics(server: Server) -> None:
    """Each takes a part of the connections, and a scrape of any of them has the metrics of all."""
    with api_on(server, http__workers=2) as process:
        assert process.wait_for("http started")["workers"] == 2
        assert len(_pids(process, 2)) == 2

        def both() -> bool:
            assert _health(process).status_code == 200
            return _serving(process) == {1, 2}

        wait_until(both, "both have answered")
        with process.client() as api:
            assert api.post(PATH, json=INTENT).status_code == 201
            name = "galaxy_notify_http_request_duration_seconds_count"

            def of_both() -> str:
                text = api.get("/metrics").text
                return (
                    text if set(re.findall(rf'{name}{{worker="(\d)",', text)) == {"1", "2"} else ""
                )

            text = wait_until(of_both, "it has the metrics of both")
    assert text.count(f"# TYPE {name.removesuffix('_count')} histogram") == 1


def test_killed_worker__is_started_again(server: Server) -> None:
    """Connections that it would have taken are taken by the others; nothing else ends."""
    with api_on(server, http__workers=2) as process:
        before = _pids(process, 2)
        os.kill(before[1], signal.SIGKILL)
        ended = process.wait_for("http worker ended")
        assert (ended["worker"], ended["exit_code"]) == (1, -signal.SIGKILL)
        for _ in range(10):
            assert httpx.post(process.url + PATH, json=INTENT, timeout=HANG_S).status_code == 201
        after = _pids(process, 3)
        assert after[2] == before[2]
        assert after[1] != before[1]
        process.signal(signal.SIGTERM)
        assert process.ended() == 0


def test_ignored_end_of_a_child__does_not_end_the_parent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What starts the API may ignore SIGCHLD, and programs inherit that."""
    monkeypatch.setattr(daemons, "PROGRAM", [sys.executable, "-c", _IGNORING, *PROGRAM])
    with api_on(server, http__workers=2) as process:
        os.kill(_pids(process, 2)[1], signal.SIGKILL)
        assert process.wait_for("http worker ended")["exit_code"] == -signal.SIGKILL
        _pids(process, 3)


def test_folder_of_the_metrics__may_be_cleared_away(server: Server) -> None:
    """A worker that is started again serves all the same: only scrapes of others miss it."""
    with (
        tempfile.TemporaryDirectory(prefix="gn-") as folder,
        api_on(server, variables={"TMPDIR": folder}, http__workers=2) as process,
    ):
        pids = _pids(process, 2)
        (shared,) = Path(folder).iterdir()
        wait_until(lambda: len(list(shared.iterdir())) == 2, "both can be scraped")
        shutil.rmtree(shared)
        os.kill(pids[1], signal.SIGKILL)
        assert process.wait_for("http worker unscraped")["of"] == 1
        wait_until(lambda: _health(process).is_success, "it is served")
        assert len(process.lines("http worker ended")) == 1
        process.signal(signal.SIGTERM)
        assert process.ended() == 0


def test_killed_parent__lets_the_workers_end_in_good_order(server: Server) -> None:
    """What is in hand is answered, and the address is free for the next one."""
    with api_on(server, http__workers=2) as process:
        _pids(process, 2)
        peer = _in_hand(process)
        process.kill()
        wait_until(lambda: len(process.lines("http parent lost")) == 2, "the workers know")
        assert _answer(peer).startswith(b"HTTP/1.1 201 ")
        wait_until(lambda: len(process.lines("http stopped")) == 2, "the workers have ended")
        wait_until(lambda: _is_refused(process), "the address is free")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal__answers_what_is_in_hand(server: Server, number: signal.Signals) -> None:
    """Also where all get the signal, as from a terminal; systemd hears of one service."""
    with supervisor() as systemd:
        variables = {"NOTIFY_SOCKET": systemd.address}
        with api_on(server, variables=variables, http__workers=2) as process:
            pids = _pids(process, 2)
            peer = _in_hand(process)
            wait_until(lambda: systemd.heard.count("READY=1") == 1, "it is ready")
            wait_until(lambda: systemd.told("WATCHDOG"), "the watchdog is fed")
            wait_until(lambda: "STATUS=serving" in systemd.heard, "its status")
            if number == signal.SIGINT:
                for pid in pids.values():
                    os.kill(pid, number)
            process.signal(number)
            process.wait_for("http stop requested")
            # Others would wait for an answer until the last one has ended.
            wait_until(lambda: _is_refused(process), "nothing new is taken")
            assert _answer(peer).startswith(b"HTTP/1.1 201 ")
            assert process.ended() == 0
            assert len(process.lines("http stopped")) == 3
            wait_until(lambda: "STOPPING=1" in systemd.heard, "it has told that it stops")
            assert systemd.heard.count("READY=1") == systemd.heard.count("STOPPING=1") == 1


def test_second_signal__is_1_at_once(server: Server) -> None:
    """No worker outlives it, and none is waited for."""
    with api_on(server, http__workers=2) as process, _in_hand(process) as peer:
        _pids(process, 2)
        process.signal(signal.SIGTERM)
        process.wait_for("http stop requested")
        process.signal(signal.SIGTERM)
        assert process.ended() == 1
        assert peer.recv(100) == b""


def test_other_deployment__is_78(server: Server) -> None:
    """What only a person can mend ends all of them; it is not tried again."""
    with api_on(server) as first, first.client() as api:
        assert api.post(PATH, json=INTENT).status_code == 201
    with api_on(server, http__workers=2, worker__shards=2) as process:
        assert process.ended() == 78
        assert "worker.shards" in process.log.read_text()
        assert not process.lines("http worker ended")


def test_bad_key__is_78_before_there_is_a_worker(server: Server) -> None:
    """It is said once, not by each."""
    key = {"http__jwt_issuer": "i", "http__jwt_audience": "a", "http__jwt_key": __file__}
    tokens = [entry("shop", "producer")]
    with api_on(server, http__workers=2, http__tokens=tokens, **key) as process:
        assert process.ended() == 78
        (line,) = process.log.read_text().splitlines()
    assert "http.jwt_key: must be a public key in PEM" in line
