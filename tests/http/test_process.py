"""The process of the API: it comes up without Redis, outlives it, and stops in good order."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from galaxy_notify.redis_state.roles import Role
from tests.support.api import INTENT, PATH, ApiProcess, api_on, entry, problem
from tests.support.daemons import supervisor
from tests.support.program import environment
from tests.support.roles import PASSWORD, stage
from tests.support.servers import Server, main_server, running
from tests.support.wait import HANG_S, wait_until

_BODY = b'{"type":"t","producer":"p","recipients":["u1"]}'


@pytest.fixture
def own_server() -> Iterator[Server]:
    """Give a server that may be killed; it keeps what it answered."""
    with running(main_server(), appendonly="yes") as server:
        yield server


def test_redis_away__is_503_until_it_is_back(own_server: Server) -> None:
    """It starts without Redis, says so, serves once it is there, and again after a kill."""
    own_server.kill()
    with api_on(own_server) as process, process.client() as api:
        assert api.get("/healthz").status_code == 200
        told = problem(api.get("/readyz"), 503, "unavailable")
        assert str(own_server.socket) not in str(told)
        own_server.start()
        wait_until(lambda: api.get("/readyz").status_code == 200, "it is ready")
        before = api.post(PATH, json=INTENT, headers={"Idempotency-Key": "k"})
        own_server.kill()
        away = api.post(PATH, json=INTENT)
        again = problem(away, 503, "unavailable")["notification_id"]
        assert int(away.headers["retry-after"]) > 0
        many = problem(api.post(f"{PATH}:batch", json=[INTENT]), 503, "unavailable")
        assert [(one["item"], one["code"]) for one in many["errors"]] == [(0, "unknown")]
        for method, path in (
            ("DELETE", f"{PATH}/{again}"),
            ("GET", f"{PATH}/{again}"),
            ("GET", "/v1/status"),
            ("GET", "/v1/dead-letters"),
        ):
            problem(api.request(method, path), 503, "unavailable")
        own_server.start()
        done = api.post(PATH, json=INTENT, params={"notification_id": again})
        assert (done.status_code, done.json()["notification_id"]) == (201, again)
        known = api.post(PATH, json=INTENT, headers={"Idempotency-Key": "k"})
        assert (before.status_code, known.status_code) == (201, 200)
        assert api.get("/v1/status").json()["totals"]["accepted"] == 2


def _in_hand(process: ApiProcess) -> socket.socket:
    """Begin a request whose body is still to come."""
    url = urlsplit(process.url)
    peer = socket.create_connection((url.hostname, url.port), timeout=HANG_S)
    head = (f"POST {PATH} HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    more = (f"Content-Length: {len(_BODY)}", "Expect: 100-continue", "", "")
    peer.sendall("\r\n".join([*head, *more]).encode())
    assert peer.recv(100).startswith(b"HTTP/1.1 100 ")
    return peer


def test_sigterm__answers_what_is_in_hand(server: Server) -> None:
    """A request that has begun is answered; new ones find nobody; the exit code is 0."""
    with supervisor() as systemd:
        variables = {"NOTIFY_SOCKET": systemd.address}
        with api_on(server, variables=variables) as process:
            peer = _in_hand(process)
            wait_until(lambda: systemd.heard.count("READY=1") == 1, "it is ready")
            wait_until(lambda: systemd.told("WATCHDOG"), "the watchdog is fed")
            process.signal(signal.SIGTERM)
            process.wait_for("http stop requested")
            peer.sendall(_BODY)
            answer = peer.recv(4096)
            peer.close()
            assert answer.startswith(b"HTTP/1.1 201 ")
            assert process.ended() == 0
            assert process.lines("http stopped")
            wait_until(lambda: "STOPPING=1" in systemd.heard, "it has told that it stops")


def test_second_signal__is_1_at_once(server: Server) -> None:
    """Whoever asks twice does not wait for a request that never comes to its end."""
    with api_on(server) as process, _in_hand(process):
        process.signal(signal.SIGINT)
        process.wait_for("http stop requested")
        process.signal(signal.SIGTERM)
        assert process.ended() == 1


def test_stop__does_not_wait_for_ever(server: Server) -> None:
    """A request that does not end is left when the time is over."""
    with api_on(server, http__shutdown_ms=0) as process, _in_hand(process):
        process.signal(signal.SIGTERM)
        assert process.ended() == 0


def test_other_deployment__is_78(server: Server) -> None:
    """What only a person can mend ends the process, as it ends the daemon."""
    with api_on(server) as first, first.client() as api:
        assert api.post(PATH, json=INTENT).status_code == 201
    with api_on(server, worker__shards=2) as process:
        assert process.ended() == 78
        assert "worker.shards" in process.log.read_text()


def test_address_in_use__is_1_in_one_line(server: Server) -> None:
    """An address that cannot be listened on is told."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with api_on(server, http__port=port) as process:
            assert process.ended() == 1
            (line,) = process.log.read_text().splitlines()
    assert line == f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use"


def test_open_api__says_so_and_stays_at_home(server: Server) -> None:
    """Without tokens it warns at the start, and another address than our own is refused."""
    with api_on(server) as process:
        process.wait_for("http authentication disabled")
    with api_on(server, http__host="0.0.0.0") as process:
        assert process.ended() == 78
        assert "http.host: must be a loopback address" in process.log.read_text()
    tokens = [entry("shop", "producer")]
    with api_on(server, http__host="0.0.0.0", http__tokens=tokens) as process:
        assert process.wait_for("http started")["clients"] == ["shop (producer)"]


def test_bad_key__is_78(server: Server, tmp_path: Path) -> None:
    """A key that cannot verify what the algorithm signs is told by the setting's name."""
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    named = {"http__jwt_issuer": "i", "http__jwt_audience": "a", "http__jwt_key": str(key)}
    with api_on(server, **named) as process:
        assert process.ended() == 78
        assert "http.jwt_key: must be a public key in PEM" in process.log.read_text()


def test_without_the_extra__is_78_and_names_it(server: Server) -> None:
    """Where the packages are missing, one line says how to get them."""
    hide = "import sys; sys.modules['fastapi'] = None; sys.argv[1:] = ['serve']\n"
    done = subprocess.run(
        [sys.executable, "-c", hide + "from galaxy_notify.cli import main; main()"],
        env=environment(server),
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert done.returncode == 78
    assert "pip install 'galaxy-notify[http]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_busy__is_503_but_for_probes(server: Server) -> None:
    """Beyond the bound requests are turned away at once; probes are always answered."""
    with api_on(server, http__max_requests=1) as process, process.client() as api:
        assert api.get("/v1/status").status_code == 200
        with _in_hand(process):
            problem(api.get("/v1/status"), 503, "busy")
            assert api.get("/healthz").status_code == 200
        wait_until(lambda: api.get("/v1/status").status_code == 200, "there is room again")


def test_operator__may_do_all_that_the_api_does(any_server: Server) -> None:
    """The user that the docs name has every right that serving takes, on every server."""
    with stage(any_server, Role.OPERATOR) as found, any_server.client() as client:
        client.execute_command("ACL", "LOG", "RESET")
        login = {"redis__username": found.user, "redis__password": PASSWORD}
        with api_on(any_server, **login) as process, process.client() as api:
            done = api.post(PATH, json=INTENT | {"due_at": 2 * 10**12})
            where = done.headers["location"]
            answers = [
                api.get("/readyz"),
                api.post(f"{PATH}:batch", json=[INTENT]),
                api.get(where),
                api.delete(where),
                api.get("/v1/dead-letters"),
                api.post("/v1/dead-letters:replay", json={"all": True}),
                api.get("/v1/status"),
            ]
        assert [one.status_code for one in answers] == [200] * len(answers)
        denied: Any = client.execute_command("ACL", "LOG")
    assert denied == []
