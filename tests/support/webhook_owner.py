"""The owner of an endpoint: a server in a thread of the test, which keeps what it is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from galaxy_notify.webhooks import verify


class Received(NamedTuple):
    """A request that came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        """Return the event in it."""
        return json.loads(self.body)

    def verified(self, secret: str) -> str:
        """Return its id; raise `InvalidSignature` if it is not signed with this secret."""
        # However long ago it came.
        return verify(secret, self.headers, self.body, tolerance_s=0)


class WebhookOwner:
    """Answers each request with *status* and *response*; `owner` starts it."""

    def __init__(self) -> None:
        self.status = 200
        self.response = "thanks"
        self.received: list[Received] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.received.append(Received(self.path, dict(self.headers), body))
                answer = owner.response.encode()
                self.send_response(owner.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_port

    @property
    def url(self) -> str:
        """The URL of its endpoint."""
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def allowed(self) -> dict[str, Any]:
        """The fields of a channel that may send to it."""
        return {"allow": ["127.0.0.1"], "ports": [self.port], "require_https": False}

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve while the block runs."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@contextmanager
def webhook_owner() -> Iterator[WebhookOwner]:
    """Have the owner of an endpoint while the block runs."""
    made = WebhookOwner()
    with made.serving():
        yield made
