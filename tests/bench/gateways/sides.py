"""The sides: processes that carry events from Redis to connections."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit

from tests.bench.checkout import HERE, Checkout
from tests.bench.fill import found
from tests.bench.gateways.clients import AUDIENCE, SECRET
from tests.bench.gateways.crowd import Crowd, crowd
from tests.bench.gateways.crowd_process import Plan
from tests.bench.gateways.events import Entry, adapter_entry, gateway_entry
from tests.bench.gateways.producer import ADAPTER, STREAM
from tests.bench.peers.socketio import SOCKET_IO, Manner
from tests.bench.processes import Running, running, started
from tests.support.servers import Server, free_port
from tests.support.wait import wait_until

_START_S = 60
_COLLECT_S = 2
#: The limits that a benchmark reaches and an operator would not: all connect at once.
_SETTINGS = {
    "REALTIME__PORT": "0",
    "REALTIME__AUDIENCE": AUDIENCE,
    "REALTIME__JWT_ALGORITHM": "HS256",
    "REALTIME__JWT_SECRET": SECRET,
    "REALTIME__CONNECTS_PER_S": "100000",
    "REALTIME__STREAMS_PER_USER": "1000",
    "REALTIME__DRAIN_MS": "0",
}


class Node(NamedTuple):
    """A process that clients connect to."""

    process: Running
    port: int


class Side(ABC):
    """What is compared: its processes, its clients, and how events come into Redis."""

    name: str
    kind: str
    way: str

    @abstractmethod
    def node(self, url: str) -> AbstractContextManager[Node]:
        """Run a process until it takes connections."""

    @abstractmethod
    def written(self, number: int, users: int) -> Entry:
        """Return an event as it is written for this side."""

    def found(self, url: str) -> None:
        """Prepare an empty server."""
        del url

    def collect(self, node: Node) -> None:
        """Have a process free what it no longer needs, if it can be asked to."""
        del node

    @contextmanager
    def nodes(self, server: Server, count: int) -> Iterator[list[Node]]:
        """Run so many processes on an empty server."""
        server.flush()
        self.found(server.tcp_url)
        with ExitStack() as stack:
            yield [stack.enter_context(self.node(server.tcp_url)) for _ in range(count)]

    def crowd(
        self, nodes: Sequence[Node], connections: int, users: int = 0, *, spread: bool = True
    ) -> AbstractContextManager[Crowd]:
        """Run clients of these processes; without *users* each has one of its own."""
        ports = [node.port for node in nodes]
        return crowd(Plan(self.kind, ports, connections, users or connections, spread))


class Gateways(Side):
    """galaxy-notify: gateway processes that share a consumer group; server-sent events."""

    name, kind, way = "galaxy-notify", "sse", STREAM

    def __init__(
        self, checkout: Checkout = HERE, settings: Mapping[str, str] | None = None
    ) -> None:
        """Run the gateways of a checkout, with these settings in addition to the usual ones."""
        self._checkout = checkout
        self._settings = _SETTINGS | dict(settings or {})

    def written(self, number: int, users: int) -> Entry:
        return gateway_entry(number, users)

    def found(self, url: str) -> None:
        found(url, self._checkout)

    @contextmanager
    def node(self, url: str) -> Iterator[Node]:
        settings = self._settings | {"REDIS__URL": url}
        with running("galaxy_notify", "gateway", of=self._checkout, **settings) as process:
            wait_until(lambda: _url(process), "the gateway listens", _START_S)
            own = _url(process)
            wait_until(lambda: _is_ready(process, own), "the gateway is ready", _START_S)
            yield Node(process, urlsplit(own).port or 0)


class WebSockets(Gateways):
    """galaxy-notify: the same processes; WebSocket."""

    name, kind = "galaxy-notify, WebSocket", "websocket"


class Bells(Gateways):
    """galaxy-notify: the same processes with a feed; a client has an event once it is counted."""

    name, kind = "galaxy-notify, badges", "badge"


class SocketIo(Side):
    """Socket.IO: each process reads every event; WebSocket."""

    kind, way = "socketio", ADAPTER

    def __init__(self, manner: Manner) -> None:
        """Install it; raise `PeerError` where that fails."""
        SOCKET_IO.prepare()
        self.name = manner.name
        self._function = manner.function

    def written(self, number: int, users: int) -> Entry:
        return adapter_entry(number, users)

    @contextmanager
    def node(self, url: str) -> Iterator[Node]:
        port = free_port()
        environ = {**os.environ, "BENCH_URL": url, "BENCH_PORT": str(port)}
        command = SOCKET_IO.call("socketio_serve", self._function)
        with started(command, environ, SOCKET_IO.folder) as process:
            wait_until(lambda: _listens(process, port), "Socket.IO listens", _START_S)
            yield Node(process, port)

    def collect(self, node: Node) -> None:
        os.kill(node.process.pid, signal.SIGUSR2)
        time.sleep(_COLLECT_S)


def _url(process: Running) -> str:
    process.alive()
    for line in process.output().splitlines():
        if '"gateway started"' in line:
            return str(json.loads(line)["urls"][0])
    return ""


def _is_ready(process: Running, url: str) -> bool:
    process.alive()
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=_START_S):
            return True
    except URLError:
        return False


def _listens(process: Running, port: int) -> bool:
    process.alive()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
