"""A TCP proxy in front of a test server: it loses replies, stalls, resets and refuses."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from galaxy_notify.redis_client.scripts import script

#: What becomes of the reply to a request: its connection is reset, or it never comes.
Loss = Literal["reset", "silence"]


class Proxy:
    """Forwards TCP connections to a server's UNIX socket, as far as the test lets it."""

    def __init__(self, upstream: Path) -> None:
        #: Where new connections lead to.
        self.upstream = upstream
        #: When each connection came, by the monotonic clock.
        self.connected_s: list[float] = []
        self.lost = 0
        #: A reply that is longer never arrives whole, as over a link too slow for the bound of
        #: a call.
        self.longest_reply = 1 << 30
        self._lock = threading.Lock()
        self._losses: list[tuple[bytes, Loss]] = []
        self._delays: dict[bytes, float] = {}
        self._open: set[socket.socket] = set()
        self._refusing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self) -> int:
        """Return how many connections came so far."""
        return len(self.connected_s)

    @property
    def port(self) -> int:
        """Return the port of the proxy, on this machine."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Return the URL of a Redis that leads through the proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    def lose_reply(self, name: str, how: Loss = "reset") -> None:
        """Let the next run of a script be executed, and lose its reply."""
        with self._lock:
            self._losses.append((script(name).sha.encode(), how))

    def lose_reply_to(self, words: bytes, how: Loss = "reset") -> None:
        """Let the next request with these words be executed, and lose its reply."""
        with self._lock:
            self._losses.append((words, how))

    def delay_reply(self, name: str, seconds: float) -> None:
        """Let the reply to the next run of a script take so long."""
        with self._lock:
            self._delays[script(name).sha.encode()] = seconds

    def reset_all(self) -> None:
        """Reset all connections; new ones are welcome."""
        with self._lock:
            doomed = list(self._open)
        for one in doomed:
            _reset(one)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Reset all connections, and each new one at once, while the block runs."""
        with self._lock:
            self._refusing = True
        self.reset_all()
        try:
            yield
        finally:
            self._refusing = False

    def close(self) -> None:
        """Close the proxy and all its connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connected_s.append(time.monotonic())
            self._admit(client)

    def _admit(self, client: socket.socket) -> None:
        with self._lock:
            # Looked at and entered in one step, or a connection would outlive a reset of all.
            admitted = None if self._refusing else self._connection(client)
        if admitted is None:
            _reset(client)
        else:
            admitted.start()

    def _connection(self, client: socket.socket) -> Connection:
        return Connection(self, client)

    def _loss_for(self, request: bytes) -> Loss | None:
        with self._lock:
            for place, (sha, how) in enumerate(self._losses):
                if sha in request:
                    del self._losses[place]
                    self.lost += 1
                    return how
        return None

    def _delay_for(self, request: bytes) -> float:
        with self._lock:
            named = next((sha for sha in self._delays if sha in request), b"")
            return self._delays.pop(named, 0.0)


class Connection:
    """One connection, with a thread for each direction; to be made under the proxy's lock."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = socket.socket(socket.AF_UNIX)
        self._loss: Loss | None = None
        self._delay = 0.0
        self._replied = 0
        proxy._open |= {client, self._server}

    def start(self) -> None:
        try:
            self._server.connect(str(self._proxy.upstream))
        except OSError:
            # The server is away, or all were reset meanwhile.
            self._end()
            return
        threading.Thread(target=self._requests, daemon=True).start()
        threading.Thread(target=self._replies, daemon=True).start()

    def _requests(self) -> None:
        with contextlib.suppress(OSError):
            while request := self._client.recv(1 << 16):
                self._loss = self._loss or self._proxy._loss_for(request)
                self._delay = self._proxy._delay_for(request)
                self._replied = 0
                self._server.sendall(request)
        self._end()

    def _replies(self) -> None:
        with contextlib.suppress(OSError):
            while reply := self._server.recv(1 << 16):
                if self._loss == "reset":
                    break
                threading.Event().wait(self._delay)
                self._replied += len(reply)
                if self._loss is None and self._replied <= self._proxy.longest_reply:
                    self._client.sendall(reply)
        self._end()

    def _end(self) -> None:
        with self._proxy._lock:
            self._proxy._open -= {self._client, self._server}
        _reset(self._client)
        _reset(self._server)


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def proxied(upstream: Path) -> Iterator[Proxy]:
    """Run a proxy while the block runs."""
    proxy = Proxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()
