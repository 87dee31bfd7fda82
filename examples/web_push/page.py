"""The page of the example, and tokens for its only user: docs/web-push.md.

python examples/web_push/page.py [PORT]
"""

from __future__ import annotations

import sys
import time
import tomllib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt

FOLDER = Path(__file__).parent
REALTIME = tomllib.loads((FOLDER / "settings.toml").read_text())["realtime"]


class Page(SimpleHTTPRequestHandler):
    """Serves the files beside this one."""

    def do_GET(self) -> None:
        """Answer with a file, or with a token."""
        if self.path != "/token":
            super().do_GET()
            return
        now = time.time()
        claims = {"sub": "user-7", "aud": REALTIME["audience"], "iat": now, "exp": now + 600}
        token = jwt.encode(claims, REALTIME["jwt_secret"], REALTIME["jwt_algorithm"]).encode()
        self.send_response(200)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(token)


def main() -> None:
    """Serve until the process is ended."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    handler = partial(Page, directory=str(FOLDER))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        sys.stdout.write(f"open http://localhost:{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
