"""Hostile requests: each is refused or cut off, and others are served meanwhile."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.gateways import GatewayProcess, Publisher, authorized, gateway_on
from tests.support.servers import Server
from tests.support.streams import PATH, StreamClient, connect, request
from tests.support.wait import wait_until

_MIB = 1 << 20
_HEAD = b"GET %s HTTP/1.1\r\nHost: a\r\n" % PATH.encode()


def _all(peer: socket.socket) -> bytes:
    """Return all that comes until the end, however the other side ends."""
    found = b""
    try:
        while part := peer.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def _served(gateway: GatewayProcess, publish: Publisher, user: str) -> None:
    """Check that a client which does nothing unusual has its event."""
    with gateway.open(user) as client:
        client.expect("hello")
        publish(user)
        client.expect("notification")


def _memory(gateway: GatewayProcess) -> int:
    """Return the bytes of memory that a process has in use."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (_HEAD + b"X: " + b"x" * 200_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n", b"414"),
        (_HEAD + b"Host: b\r\n\r\n", b"400"),
        (_HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (_HEAD + b"Transfer-Encoding: xchunked\r\n\r\n", b"501"),
        (_HEAD + b"Content-Length: -1\r\n\r\n", b"400"),
        (_HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", b"400"),
        (_HEAD + b"Authorization: Bearer a\r\n b\r\n\r\n", b"400"),
        (_HEAD + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", b"400"),
        (_HEAD + b"Last-Event-ID: 0.0.0\r\nLast-Event-ID: a.1.abcd\r\n\r\n", b"400"),
        (_HEAD + b"Cookie: a=1\r\nCookie: b=1\r\n\r\n", b"400"),
        (_HEAD + b"Origin: http://a\r\nOrigin: http://b\r\n\r\n", b"400"),
        (_HEAD + b"Authorization: Basic dTE6cHc=\r\n\r\n", b"401"),
        (_HEAD + b"Authorization: Bearer " + b"x" * 9000 + b"\r\n\r\n", b"401"),
        (_HEAD + b"Authorization: Bearer \xff.\xfe.\xfd\r\n\r\n", b"401"),
        (_HEAD + b"\r\n", b"401"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
        (b"\0" * 1000, b"400"),
    ],
)
def test_request__that_is_no_good_is_refused(
    gateway: GatewayProcess, publish: Publisher, user: str, sent: bytes, status: bytes
) -> None:
    """The status says why; whoever asks properly is served."""
    with connect(gateway.url) as peer:
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR) if status == b"401" else None
        assert peer.recv(12) in (b"HTTP/1.1 " + status, b"")
    _served(gateway, publish, user)


@pytest.mark.parametrize(
    "target", ["http://evil.example/v1/me/stream", "//evil.example/v1/me/stream"]
)
def test_target__that_is_a_url_is_a_path(gateway: GatewayProcess, user: str, target: str) -> None:
    """An absolute form is read as its path, and a path with two slashes is none of ours."""
    with StreamClient(
        connect(gateway.url), authorized(user).replace(PATH.encode(), target.encode(), 1)
    ) as client:
        assert client.status == (200 if target.startswith("http") else 404)


def test_requests__behind_a_stream_are_not_answered(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """What a client sends after its request changes nothing, and no byte of it is an answer."""
    behind = request("/healthz") * 10 + authorized(user) + b"nonsense\r\n\r\n" + b"\0" * 10_000
    with StreamClient(connect(gateway.url), authorized(user) + behind) as client:
        client.expect("hello")
        client.peer.sendall(behind * 20)
        for offset in (1, 2, 3):
            publish(user)
            assert client.expect("notification").data["offset"] == offset


def test_stream__behind_other_requests_is_served(gateway: GatewayProcess, user: str) -> None:
    """Earlier answers come first, whole."""
    with connect(gateway.url) as peer:
        peer.sendall(request("/healthz") * 5 + authorized(user))
        found = b""
        while b"event: hello" not in found:
            found += peer.recv(65_536)
        assert found.count(b"HTTP/1.1 200 OK") == 6
        assert found.count(b'{"status":"ok"}') == 5


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 4\r\n\r\nbody",
        b"Content-Length: 100000\r\n\r\nnot all of it",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"Connection: close\r\n\r\n",
    ],
    ids=["length", "partial", "chunks", "expect", "upgrade", "close"],
)
def test_body__of_a_get_is_not_read(
    gateway: GatewayProcess, publish: Publisher, user: str, body: bytes
) -> None:
    """It decides nothing."""
    with StreamClient(connect(gateway.url), authorized(user)[:-2] + body) as client:
        assert client.status == 200
        client.expect("hello")
        publish(user)
        client.expect("notification")


def test_client__that_closes_its_side_has_left(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """The presence of its user ends."""
    with gateway.open(user) as client:
        client.expect("hello")
        client.peer.shutdown(socket.SHUT_WR)
        assert _all(client.peer) == b""
    wait_until(lambda: not _presence(gateway, user), "the presence has ended")
    _served(gateway, publish, user)


def test_client__that_resets_has_left(gateway: GatewayProcess, user: str) -> None:
    """A reset is an end as any other."""
    with gateway.open(user) as client:
        client.expect("hello")
        linger = b"\x01\0\0\0\0\0\0\0"
        client.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    wait_until(lambda: not _presence(gateway, user), "the presence has ended")


@pytest.mark.extended
def test_connections__without_a_request_cost_others_nothing(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """Silent ones, and ones that never finish a head, are closed after a while."""
    before = _memory(gateway)
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(gateway.url)) for _ in range(300)]
        begun = [stack.enter_context(connect(gateway.url)) for _ in range(300)]
        for peer in begun:
            peer.sendall(_HEAD + b"X: " + b"x" * 8000)
        _served(gateway, publish, user)
        assert _memory(gateway) - before < 64 * _MIB
        for peer in [*silent, *begun]:
            assert _all(peer) == b""


@pytest.mark.extended
def test_clients__that_never_read_cost_others_nothing(server: Server) -> None:
    """What is kept for each of them is bounded, also where answers precede the stream."""
    with server.client() as client, gateway_on(server) as gateway, ExitStack() as stack:
        publish = Publisher(client)
        blocked = [stack.enter_context(connect(gateway.url, receive_bytes=2048)) for _ in range(20)]
        for number, peer in enumerate(blocked):
            peer.sendall(request("/healthz") * 20 + authorized(f"u{number % 4}"))
        streams = "galaxy_notify_realtime_frames_total"
        hello = '"hello"'
        wait_until(
            lambda: sum(v for k, v in gateway.metric(streams).items() if hello in k) >= 20,
            "all have begun",
        )
        before = _memory(gateway)
        with gateway.open("u0") as reading:
            reading.expect("hello")
            for _ in range(100):
                publish("u0", "u1", "u2", "u3", body="x" * 50_000)
                reading.expect("notification")
        # 20 times the buffer of a client, and what the interpreter keeps of 20 MB in passing.
        assert _memory(gateway) - before < 96 * _MIB


def _presence(gateway: GatewayProcess, user: str) -> bool:
    with gateway.server.client() as client:
        return any(client.scan_iter(f"*presence:{user}"))
