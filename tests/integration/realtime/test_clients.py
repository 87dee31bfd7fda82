"""A gateway as a process, as its clients meet it: who gets in, and what cuts nobody off."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import jwt
import msgpack
import pytest

from tests.support.daemons import DaemonProcess
from tests.support.founded import found_deployment
from tests.support.program import environment
from tests.support.refusing import misconfigured
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

SECRET = "a secret of forty characters for tests.."
COOKIE = "__Host-session"


def _token(user: str) -> str:
    now = int(time.time())
    claims = {"sub": user, "aud": "app", "iat": now, "exp": now + 600}
    return jwt.encode(claims, SECRET, algorithm="HS256")


class Client:
    """A stream of one user, read as frames."""

    def __init__(self, url: str, *headers: str) -> None:
        where = urlsplit(url)
        self.peer = socket.create_connection((where.hostname, where.port), HANG_S)
        lines = ["GET /v1/me/stream HTTP/1.1", "Host: a", *headers, "", ""]
        self.peer.sendall("\r\n".join(lines).encode())
        self._file: BinaryIO = self.peer.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = dict(line.decode().strip().split(": ", 1) for line in self._block())

    def close(self) -> None:
        self._file.close()
        self.peer.close()

    def _block(self) -> list[bytes]:
        """Return the lines up to an empty one."""
        return list(iter(lambda: self._file.readline().rstrip(b"\r\n"), b""))

    def frame(self) -> tuple[str, Any]:
        """Return the next event, and its data."""
        while True:
            fields = dict(line.decode().split(": ", 1) for line in self._block())
            if "event" in fields:
                return fields["event"], json.loads(fields["data"])


@contextmanager
def _gateway(server: Server, **settings: Any) -> Iterator[tuple[DaemonProcess, str]]:
    found_deployment(server.url)
    own: dict[str, Any] = {
        "port": 0,
        "audience": "app",
        "jwt_algorithm": "HS256",
        "jwt_secret": SECRET,
    }
    own |= {"cookie": COOKIE, "drain_ms": 0, **settings}
    named: dict[str, Any] = {f"realtime__{name}": value for name, value in own.items()}
    made = DaemonProcess(server, command="gateway", **named)
    try:
        made.wait_for("consumer started")
        yield made, str(made.lines("gateway started")[-1]["urls"][0])
    finally:
        made.kill()
        shutil.rmtree(made.folder)


def _connected(url: str, user: str = "u1", *headers: str) -> Client:
    client = Client(url, f"Authorization: Bearer {_token(user)}", *headers)
    assert client.status == 200
    return client


def _publish(server: Server, user: str, *data: dict[str, Any]) -> None:
    """Put events into the gateway stream, as the publisher writes them."""
    with server.client() as client, client.pipeline(transaction=False) as pipe:
        for at, one in enumerate(data):
            name = f"{time.time_ns():020x}{at:012x}"
            payload = {"notification_id": name, "type": "t", "producer": "p", "created_at_ms": 1}
            fields = {"user_id": user, "event_type": "t", "event_id": f"{name}/push:{user}"}
            packed = {"payload_bytes": msgpack.packb({**payload, "data": one})}
            pipe.xadd("{gn:0}:client-events", {**fields, **packed})
        pipe.execute()


def _next_numbers(client: Client, count: int) -> list[int]:
    return [data["data"]["n"] for _, data in (client.frame() for _ in range(count))]


def test_cookie__opens_a_stream_of_the_same_host(server: Server) -> None:
    """Also where another program has left a cookie that no standard knows."""
    with _gateway(server) as (_, url):
        cookie = f'Cookie: odd={{"a"; {COOKIE}={_token("u1")}; b=2'
        with closing(Client(url, cookie, "Sec-Fetch-Site: same-origin")) as client:
            assert client.frame()[0] == "hello"
        with closing(Client(url, cookie)) as client:
            assert client.status == 403
        twice = f"Cookie: {COOKIE}=a; {COOKIE}={_token('u1')}"
        with closing(Client(url, twice, "Sec-Fetch-Site: same-origin")) as client:
            assert client.status == 401


def test_burst__cuts_off_no_client_that_reads(server: Server) -> None:
    """More events at once than a buffer holds: all arrive, live and on a resume."""
    events = [{"n": number} for number in range(90)]
    with _gateway(server, buffer_events=8) as (_, url):
        with closing(_connected(url)) as client:
            assert client.frame()[0] == "hello"
            _publish(server, "u1", *events)
            assert _next_numbers(client, 90) == list(range(90))
        with closing(_connected(url, "u1", "Last-Event-ID: 0.0.0")) as client:
            assert client.frame()[0] == "hello"
            assert _next_numbers(client, 90) == list(range(90))


def test_event__that_json_cannot_hold_stops_nobody(server: Server) -> None:
    """It is parked; the next event of its user is delivered, and the process goes on."""
    with _gateway(server) as (gateway, url), closing(_connected(url)) as client:
        assert client.frame()[0] == "hello"
        _publish(server, "u1", {"n": float("nan")}, {"n": 2})
        assert _next_numbers(client, 1) == [2]
        parked = gateway.wait_for("event parked")
        assert "not finite" in parked["reason"]
        assert gateway.process.poll() is None


def test_refused_writes__are_reported_to_clients_once(server: Server) -> None:
    """A server that answers reads and takes no writes is away, and comes back once."""
    running = _gateway(server, presence_ttl_ms=3000)
    with running as (gateway, url), closing(_connected(url)) as client:
        assert client.frame()[0] == "hello"
        with misconfigured(server):
            assert client.frame() == ("status", {"live": False})
            seen = len(gateway.lines("redis unavailable"))
            # It says so again every few seconds, after many attempts.
            wait_until(lambda: len(gateway.lines("redis unavailable")) > seen, "further attempts")
        assert client.frame() == ("status", {"live": True})


@pytest.mark.parametrize("instance", ["stream", "sent away"])
def test_connection__ends_with_its_stream(server: Server, instance: str) -> None:
    """So the next one is made to a process that stays, where this one stops."""
    most = {"sent away": 1}.get(instance, 9)
    running = _gateway(server, max_connections=most)
    with running as (_, url), closing(_connected(url)) as first, closing(_connected(url)) as second:
        client = second if instance == "sent away" else first
        assert client.headers["connection"] == "close"


def test_settings__that_stop_serving_are_taken_by_a_restart_only(
    server: Server, tmp_path: Path
) -> None:
    """A reload that says so changes nothing for those who connect."""
    with _gateway(server) as (gateway, url):
        gateway.write_config(realtime__serve=False)
        gateway.signal(signal.SIGHUP)
        gateway.wait_for("settings reloaded")
        with closing(_connected(url)) as client:
            assert client.frame()[0] == "hello"


def test_without_the_extra__is_78_and_names_it(server: Server) -> None:
    """Where the packages are missing, one line says how to get them."""
    hide = "import sys; sys.modules['httptools'] = None; sys.argv[1:] = ['gateway']\n"
    done = subprocess.run(
        [sys.executable, "-c", hide + "from galaxy_notify.cli import main; main()"],
        env=environment(server),
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (78, 1)
    assert "pip install 'galaxy-notify[gateway]'" in done.stderr
