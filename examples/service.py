"""A service that prints what it is notified of, for a channel of kind `apprise`.

python examples/service.py [--port 8098]
"""

from __future__ import annotations

import argparse
import json
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Service(BaseHTTPRequestHandler):
    """Takes what Apprise posts to a URL that begins with json://."""

    def do_POST(self) -> None:
        """Print the notification."""
        posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sys.stdout.write(f"{posted['type']}: {posted['title']}: {posted['message']}\n")
        sys.stdout.flush()
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print no line for each request."""


def main() -> None:
    """Serve until it is interrupted."""
    parser = argparse.ArgumentParser(description="A service that prints what it is notified of.")
    parser.add_argument("--port", type=int, default=8098)
    with ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Service) as service:
        sys.stdout.write(f"service at json://127.0.0.1:{service.server_port}\n")
        sys.stdout.flush()
        service.serve_forever()


if __name__ == "__main__":
    main()
