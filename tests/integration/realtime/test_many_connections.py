"""Ten thousand idle connections: each has its event, and what one costs is printed."""

from __future__ import annotations

import resource
import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.gateways import GatewayProcess, Publisher, authorized, gateway_on
from tests.support.servers import Server
from tests.support.streams import connect
from tests.support.wait import HANG_S

_CONNECTIONS = 10_000
_USERS = 5_000
_TOGETHER = 200


@contextmanager
def _files(count: int) -> Iterator[None]:
    """Let this process, and those that it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"this machine lets a process open {hard} files, {count} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class _Peers:
    """Many connections, read together."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._peers: list[socket.socket] = []
        self._read: dict[socket.socket, bytes] = {}

    def add(self, peer: socket.socket) -> None:
        """Take one more."""
        peer.setblocking(False)
        self._selector.register(peer, selectors.EVENT_READ)
        self._peers.append(peer)
        self._read[peer] = b""

    def expect(self, word: bytes) -> None:
        """Read until each of them has been sent this; forget what was read."""
        waiting = {peer for peer in self._peers if word not in self._read[peer]}
        while waiting:
            ready = self._selector.select(HANG_S)
            assert ready, f"{len(waiting)} have no {word!r}"
            for key, _ in ready:
                peer = key.fileobj
                assert isinstance(peer, socket.socket)
                data = peer.recv(65_536)
                assert data, "a connection has ended"
                self._read[peer] += data
                if word in self._read[peer]:
                    waiting.discard(peer)
        self._read = dict.fromkeys(self._peers, b"")

    def close(self) -> None:
        """Close all."""
        self._selector.close()
        for peer in self._peers:
            peer.close()


def _memory(gateway: GatewayProcess) -> int:
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.extended
def test_idle_connections__each_have_their_event(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """No connection is forgotten, whatever their number."""
    peers = _Peers()
    with (
        _files(_CONNECTIONS + 500),
        server.client() as client,
        gateway_on(server) as gateway,
    ):
        before = _memory(gateway)
        try:
            for some in _parts(range(_CONNECTIONS), _TOGETHER):
                for number in some:
                    peer = connect(gateway.url)
                    peer.sendall(authorized(f"u{number % _USERS}"))
                    peers.add(peer)
            peers.expect(b"event: hello\n")
            (_memory(gateway) - before) / _CONNECTIONS / 1024
            with capsys.disabled():
                pass
            Publisher(client)(*(f"u{number}" for number in range(_USERS)))
            peers.expect(b"event: notification\n")
        finally:
            peers.close()


def _parts(numbers: range, size: int) -> Iterator[range]:
    return (numbers[at : at + size] for at in range(0, len(numbers), size))
