"""Receives webhooks: verifies each, and prints it once. Needs only the standard library beside us.

WEBHOOK_SECRET=whsec_… python examples/webhook_receiver.py [PORT]
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from galaxy_notify.webhooks import InvalidSignature, verify

SECRET = os.environ["WEBHOOK_SECRET"]
MOST_BYTES = 262_144
#: Ids that were handled. A real receiver keeps them where a restart does not lose them.
handled: set[str] = set()


def show(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Receiver(BaseHTTPRequestHandler):
    """Answers 200 once a message is handled, so that it is not sent again."""

    def do_POST(self) -> None:
        """Handle a message."""
        length = int(self.headers.get("Content-Length", 0))
        if length > MOST_BYTES:
            self.answer(413)
            return
        body = self.rfile.read(length)
        try:
            message_id = verify(SECRET, dict(self.headers.items()), body)
        except InvalidSignature as error:
            show(f"refused: {error}")
            self.answer(401)
            return
        if message_id not in handled:
            event = json.loads(body)
            show(f"{message_id} {event['type']}: {event['title']}")
            handled.add(message_id)
        self.answer(200)

    def answer(self, status: int) -> None:
        """Answer without a body."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing beside the messages."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8099
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    show(f"listening on http://127.0.0.1:{port}/hook")
    server.serve_forever()
