"""A gateway that sends what a test wrote down: what no real one sends, in pieces of any size."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.wait import HANG_S

#: A piece of a script: the stream goes on with the next `go_on`.
HOLD = b"hold"


def message(kind: str, at: str = "", /, **data: Any) -> bytes:
    """Return a message of a stream."""
    place = f"id: {at}\n" if at else ""
    return f"event: {kind}\n{place}data: {json.dumps(data)}\n\n".encode()


def hello(cursor: str, *, resumed: bool = False) -> bytes:
    """Return the first message of a stream, which has the client come back at once."""
    return b"retry: 0\n\n" + message("hello", cursor, cursor=cursor, resumed=resumed, counts=None)


def notification(cursor: str, number: int, name: str = "") -> bytes:
    """Return a notification at a place; its id is that of the number, or the name."""
    offset = int(cursor.split(".")[1])
    fields = {"notification_id": name or f"n{number}", "offset": offset, "data": {"number": number}}
    return message("notification", cursor, **fields)


class ScriptedGateway:
    """Answers each request for a stream with the next part of its script, then keeps it open.

    A part is a status other than 200, or the pieces of a stream. Behind the script the last part
    is repeated.
    """

    def __init__(self, *script: int | Sequence[bytes]) -> None:
        #: What each request said is its place; empty where it said nothing.
        self.cursors: list[str] = []
        #: The bearer of each request.
        self.bearers: list[str] = []
        self._closing = threading.Event()
        self._permits = threading.Semaphore(0)
        self._script = script
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def next_part(self, cursor: str, bearer: str) -> int | Sequence[bytes]:
        """Note a request and return what answers it."""
        self.bearers.append(bearer)
        self.cursors.append(cursor)
        return self._script[min(len(self.cursors), len(self._script)) - 1]

    def send(self, pieces: Sequence[bytes], write: Callable[[bytes], object]) -> None:
        """Write the pieces of a stream, and return when it is to end."""
        for piece in pieces:
            if piece is HOLD:
                self._permits.acquire(timeout=HANG_S)
            else:
                write(piece)
        if pieces[-1:] != [b""]:
            self._closing.wait(HANG_S)

    def go_on(self) -> None:
        """Let one stream that holds, or the next one that would, go on."""
        self._permits.release()

    def close(self) -> None:
        """End all streams."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, gateway: ScriptedGateway) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.gateway = gateway


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_OPTIONS(self) -> None:
        """Let any page in."""
        self._answer(204)

    def do_GET(self) -> None:
        """Answer with the next part of the script."""
        asked, gateway = self.headers, self.server.gateway
        part = gateway.next_part(asked.get("Last-Event-ID", ""), asked["Authorization"])
        if isinstance(part, int):
            self._answer(part)
            return
        self._answer(200)
        # The client may leave before all is written.
        with suppress(OSError):
            gateway.send(part, self.wfile.write)

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "authorization, last-event-id")
        self.end_headers()


@contextmanager
def scripted_gateway(*script: int | Sequence[bytes]) -> Iterator[ScriptedGateway]:
    """Serve a script while the block runs; an empty last piece ends a stream."""
    made = ScriptedGateway(*script)
    try:
        yield made
    finally:
        made.close()
