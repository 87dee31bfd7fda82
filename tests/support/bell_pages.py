"""A site that shows the bell page of a gateway in a frame, and what that tells it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.support.gateways import token

_PAGE = """<!doctype html><meta charset="utf-8"><title>site</title>
<iframe id="bell" title="bell" width="400" height="600"></iframe>
<script type="module">
const about = new URLSearchParams(location.search), origin = about.get("gateway");
const bell = document.getElementById("bell");
window.heard = [];
window.say = (message, to = origin) => bell.contentWindow.postMessage(message, to);
addEventListener("message", async ({ source, origin: from, data }) => {
  if (source !== bell.contentWindow || from !== origin) return;
  window.heard.push(data);
  if (data.galaxyNotify !== "token") return;
  const answer = await fetch("/token?user=" + about.get("user"));
  say({ galaxyNotify: "token", token: await answer.text() });
});
bell.addEventListener("load", () => about.has("silent") || say({ galaxyNotify: "open" }));
bell.src = origin + "/bell";
</script>"""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer with a token, or with the page."""
        address = urlsplit(self.path)
        body, kind = _PAGE, "text/html"
        if address.path == "/token":
            user = parse_qs(address.query)["user"][0]
            body, kind = token(user, exp=time.time() + 600), "text/plain"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Print no line for each request."""


@contextmanager
def running_sites(count: int) -> Iterator[list[str]]:
    """Serve the same page at several origins while the block runs."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _Handler) for _ in range(count)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield [f"http://127.0.0.1:{server.server_port}" for server in servers]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
