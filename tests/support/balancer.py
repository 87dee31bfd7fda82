"""A load balancer in front of gateways: each connection goes to one of those that listen."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

_PIECE = 1 << 16


class Balancer:
    """Forwards TCP connections to local ports in turn, past those that refuse."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._turn = count()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        # Closing alone would not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        upstream = self._upstream()
        if upstream is None:
            client.close()
            return
        back = threading.Thread(target=_pump, args=(upstream, client), daemon=True)
        back.start()
        _pump(client, upstream)
        back.join()
        client.close()
        upstream.close()

    def _upstream(self) -> socket.socket | None:
        first = next(self._turn)
        for at in range(len(self._ports)):
            with contextlib.suppress(OSError):
                port = self._ports[(first + at) % len(self._ports)]
                return socket.create_connection(("127.0.0.1", port))
        return None


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Forward until the source ends; then both end, for a half of a stream is of no use."""
    with contextlib.suppress(OSError):
        while data := source.recv(_PIECE):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def balancing(*ports: int) -> Iterator[Balancer]:
    """Serve while the block runs."""
    made = Balancer(ports)
    try:
        yield made
    finally:
        made.close()
