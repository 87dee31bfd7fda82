"""Pages that use the browser client: the site that serves them, and what each of them was shown."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from galaxy_notify.realtime.client_files import client_files
from tests.support.chromium import Chromium, Page
from tests.support.gateways import GatewayProcess, token
from tests.support.wait import HANG_S, wait_until

_PAGE = """<!doctype html><meta charset="utf-8"><title>page</title>
<script type="module">
const about = new URLSearchParams(location.search);
// A browser without one of these.
if (about.get("lacks") === "BroadcastChannel") delete window.BroadcastChannel;
if (about.get("lacks") === "navigator.locks") delete Navigator.prototype.locks;
const { connect } = await import(about.get("client"));
// What a page is shown while it is left may not reach the test: the next page reports it again.
let newest = JSON.parse(sessionStorage.newest ?? "[]");
newest.forEach((entry) => record(JSON.stringify(entry)));
const log = (kind) => (value) => {
  const entry = [(newest.at(-1)?.[0] ?? 0) + 1, kind, value];
  newest = [...newest, entry].slice(-50);
  sessionStorage.newest = JSON.stringify(newest);
  record(JSON.stringify(entry));
};
const handlers = {
  onNotification: log("notification"),
  onRetract: log("retract"),
  onCounts: log("counts"),
  onReset: log("reset"),
  onMessage: log("message"),
  onStatus: log("status"),
};
if (about.get("raises")) {
  handlers[about.get("raises")] = () => { throw new Error("the handler of the page"); };
  addEventListener("error", (event) => {
    log("raised")(event.message);
    event.preventDefault();
  });
}
window.handle = connect({
  ...handlers,
  url: about.get("gateway"),
  token: async () => (await fetch("/token?user=" + about.get("user"))).text(),
  silenceMs: +about.get("silence"),
});
</script>"""


class Site:
    """An origin with a page of the client, the client itself, and tokens for any user."""

    def __init__(self) -> None:
        #: How long the tokens that are given out next are valid.
        self.lifetime_s = 600.0
        #: Whose tokens are given out instead of the user's that a page asks for.
        self.signed_in = ""
        #: How many tokens each user was given.
        self.tokens: dict[str, int] = {}
        #: How many pages wait for the client.
        self.held = 0
        self._gives_client = threading.Event()
        self._gives_client.set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, body = site.answer(self.path)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, target: str) -> tuple[str, bytes]:
        """Return the type and the contents of an address."""
        address = urlsplit(target)
        if address.path == "/token":
            user = parse_qs(address.query)["user"][0]
            self.tokens[user] = self.tokens.get(user, 0) + 1
            expires = time.time() + self.lifetime_s
            return "text/plain", token(self.signed_in or user, exp=expires).encode()
        if address.path == "/client.js":
            self.held += 1
            self._gives_client.wait(HANG_S)
            self.held -= 1
            return "text/javascript", client_files()["/client.js"].body
        return "text/html", _PAGE.encode()

    def page(self, gateway: str, user: str, **more: object) -> str:
        """Return the address of a page of a user.

        *client* is where it loads the client from, *silence* an option for it, in ms.
        """
        query = {
            "gateway": gateway,
            "user": user,
            "client": "/client.js",
            "silence": 60_000,
            **more,
        }
        return f"{self.origin}/?{urlencode(query)}"

    @contextmanager
    def holding_client(self) -> Iterator[None]:
        """Let pages that load wait for the client while the block runs."""
        self._gives_client.clear()
        try:
            yield
        finally:
            self._gives_client.set()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_site() -> Iterator[Site]:
    """Serve pages while the block runs."""
    made = Site()
    try:
        yield made
    finally:
        made.close()


class Tab(Page):
    """A page of a user, and what the user was shown on it."""

    def __init__(self, browser: Chromium, profile: str, address: str, script: str = "") -> None:
        """Open an address; *script* runs before anything of each page does."""
        super().__init__(browser, profile)
        self.command("Page.addScriptToEvaluateOnNewDocument", source=script)
        self.goto(address)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the notifications that were shown, sorted: shards are read side by side.

        Fails where their offsets do not count up.
        """
        shown = self.all("notification")
        offsets = [value["offset"] for value in shown]
        assert offsets == sorted(set(offsets)), offsets
        return sorted(value["data"]["number"] for value in shown)

    @property
    def states(self) -> list[str]:
        """The states of the stream, one after the other."""
        return [value["state"] for value in self.all("status")]

    @property
    def reasons(self) -> list[str]:
        """The reasons that were given with the states."""
        return [value["reason"] for value in self.all("status") if "reason" in value]

    @property
    def shown(self) -> list[tuple[str, Any]]:
        """All that the page was given, in order: kinds and values."""
        entries = {number: (kind, value) for number, kind, value in self.records}
        return [entries[number] for number in sorted(entries)]

    @property
    def stored(self) -> list[str]:
        """What the client keeps in this tab."""
        own = "Object.keys(sessionStorage).filter((name) => name.startsWith('gn-'))"
        found: list[str] = self.evaluate(f"{own}.map((name) => sessionStorage[name])")
        return found

    @property
    def leads(self) -> bool:
        """Whether this tab holds the lock, which only one tab of a user does."""
        own = "(await navigator.locks.query()).held.find((one) => one.name === 'own').clientId"
        asked = f"navigator.locks.request('own', async () => {own})"
        held = "navigator.locks.query().then((all) => all.held.map((one) => one.clientId))"
        return self.evaluate(asked) in self.evaluate(held)

    def all(self, kind: str) -> list[Any]:
        """Return what the page was given of one kind."""
        return [value for found, value in self.shown if found == kind]

    def live(self, times: int = 1) -> Tab:
        """Wait until events come as they happen, for this many times."""
        self.wait(lambda: self.states.count("live") >= times, f"live for {times} times")
        return self

    def wait_for(self, *numbers: int) -> None:
        """Wait until the notifications of all these numbers have been shown.

        One of them says nothing of the others: shards are read side by side.
        """
        self.wait(lambda: {*numbers} <= {*self.numbers}, f"numbers {numbers} are shown")

    def wait(self, condition: Any, what: str) -> None:
        """Wait for a condition; fail with all that the page was given."""
        try:
            wait_until(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.shown[-40:])}") from error


def open_streams(place: GatewayProcess) -> float:
    """Return how many streams a gateway has begun that have not ended."""
    name = "galaxy_notify_realtime"
    begun, ended = (place.metric(f"{name}_{what}_total") for what in ("streams", "ended"))
    return sum(begun.values()) - sum(ended.values())
