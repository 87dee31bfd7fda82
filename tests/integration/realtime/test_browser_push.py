"""The page and the service worker of examples/web_push in a browser, with what a channel sends.

No push service takes part: what one carries is decrypted here, as a browser does it, and handed to
the service worker.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from galaxy_notify.channels.push_encryption import encrypted
from galaxy_notify.channels.push_message import push_content
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.settings import settings_from
from tests.support.chromium import Chromium, Page, requires_chromium
from tests.support.gateways import KEY_SPACE, gateway_on
from tests.support.program import ROOT
from tests.support.push import ENDPOINT, KEYS, Browser, decoded, flat_sections, push_sections
from tests.support.servers import Server
from tests.support.wait import wait_until

pytestmark = requires_chromium

EVENT = LiveEvent(
    f"{'0a' * 16}.2/browser:u1", "game.turn", "critical", "Grüße", "Zieh!", {"url": "/game/7"}, 1
)


@pytest.fixture
def site() -> Iterator[str]:
    """Serve the example, and give its address."""
    command = [sys.executable, "examples/web_push/page.py", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().split()[1]
        finally:
            process.kill()


class Worker:
    """The service worker of a page."""

    def __init__(self, browser: Chromium, profile: str, site: str) -> None:
        browser.command(
            "Browser.grantPermissions",
            origin=site,
            permissions=["notifications"],
            browserContextId=profile,
        )
        self.page = Page(browser, profile)
        self._browser = browser
        self._site = site
        self._versions: list[Any] = []
        self.page.listen(self._take)
        self.page.command("ServiceWorker.enable")
        self.page.goto(site)
        wait_until(self._registration, "the service worker is there")

    def push(self, content: bytes) -> None:
        """Have a message come, after its way from us to a browser."""
        device = Browser()
        came = device.decrypted(encrypted(content, device.p256dh, device.auth))
        self.page.command(
            "ServiceWorker.deliverPushMessage",
            origin=self._site,
            registrationId=self._registration(),
            data=came.decode(),
        )

    def push_until(self, shown: Callable[[list[dict[str, Any]]], Any], *events: LiveEvent) -> None:
        """Push the events until the browser shows what is wanted.

        Chromium may drop a push without a word, as where the worker has only just become active. A
        repeated one replaces what is shown, by its tag.
        """

        def pushed() -> bool:
            for event in events:
                self.push(push_content(event))
            until = time.monotonic() + 5
            while not shown(self.shown()) and time.monotonic() < until:
                pass
            return bool(shown(self.shown()))

        wait_until(pushed, "it is shown")

    def shown(self) -> list[dict[str, Any]]:
        """Return what the browser shows."""
        found = self.page.evaluate(
            "navigator.serviceWorker.ready.then((one) => one.getNotifications()).then((all) =>"
            " JSON.stringify(all.map(({ title, body, tag, data, requireInteraction }) =>"
            " ({ title, body, tag, data, requireInteraction }))))"
        )
        shown: list[dict[str, Any]] = json.loads(found)
        return shown

    def _registration(self) -> str:
        """Return the id of the registration, once its worker is active; empty before."""
        self._browser.take_events()
        active = [one for one in self._versions if one["status"] == "activated"]
        return str(active[-1]["registrationId"]) if active else ""

    def _take(self, method: str, parameters: Any) -> None:
        if method == "ServiceWorker.workerVersionUpdated":
            self._versions += parameters["versions"]


@pytest.fixture
def worker(chromium: Chromium, site: str) -> Iterator[Worker]:
    """Give the service worker of the example."""
    with chromium.profile() as profile:
        yield Worker(chromium, profile, site)


def test_message__is_shown(worker: Worker) -> None:
    """As the event has it."""
    worker.push_until(bool, EVENT)
    assert worker.shown() == [
        {
            "title": "Grüße",
            "body": "Zieh!",
            "tag": EVENT.notification_id,
            "data": {"url": "/game/7", "notification_id": EVENT.notification_id},
            "requireInteraction": True,
        }
    ]


def test_message__that_comes_twice_is_shown_once(worker: Worker) -> None:
    """The second one may come in a later attempt; another notification is beside it."""
    other = EVENT._replace(event_id=f"{'0b' * 16}.2/browser:u1", title="Other")
    worker.push_until(lambda all_shown: len(all_shown) > 1, EVENT, EVENT, other)
    assert sorted(one["title"] for one in worker.shown()) == ["Grüße", "Other"]


def test_thin_message__is_shown(worker: Worker) -> None:
    """Without the text, which the page has."""
    worker.push_until(bool, EVENT._replace(body="x" * 5000, title="", data={}))
    (shown,) = worker.shown()
    assert (shown["title"], shown["body"]) == ("game.turn", "Open the page to read it.")


#: In place of the push service, to which this machine has no way, and of the port of the example.
#: What the page says; nothing while it is not there yet.
STATE = "document.querySelector('#state')?.value"
_STANDS_IN = """
PushManager.prototype.subscribe = async function (options) {
  this.constructor.own = {
    options, toJSON: () => (%s), unsubscribe: async () => { this.constructor.own = null; },
  };
  return this.constructor.own;
};
PushManager.prototype.getSubscription = async function () { return this.constructor.own ?? null; };
const plain = window.fetch;
window.fetch = (url, more) => plain(String(url).replace("http://127.0.0.1:8090", "%s"), more);
"""


def test_page__subscribes_and_ends_it(chromium: Chromium, site: str, server: Server) -> None:
    """At a gateway of another origin, with the key of the channel."""
    device = Browser()
    given = {"endpoint": f"{ENDPOINT}/a", "expirationTime": None, "keys": device.keys}
    realtime = {
        "audience": "example",
        "jwt_secret": "an example, which anybody can read here",
        "allowed_origins": [site],
    }
    own = {f"realtime__{name}": value for name, value in realtime.items()}
    with gateway_on(server, **flat_sections(), **own) as gateway, chromium.profile() as profile:
        page = Page(chromium, profile)
        source = _STANDS_IN % (json.dumps(given), gateway.url)
        page.command("Page.addScriptToEvaluateOnNewDocument", source=source)
        page.goto(site)
        wait_until(lambda: page.evaluate(STATE) == "off", "the page is there")
        page.evaluate("on.click()")
        wait_until(lambda: page.evaluate(STATE) != "off", "it has subscribed")
        assert page.evaluate(STATE) == "on"
        (contact,) = _contacts(server)
        assert (contact.address, contact.data["auth"]) == (given["endpoint"], device.keys["auth"])
        used = page.evaluate("[...PushManager.own.options.applicationServerKey].join()")
        assert used == ",".join(map(str, decoded(KEYS["public_key"])))
        page.evaluate("off.click()")
        wait_until(lambda: page.evaluate(STATE) != "on", "it has ended")
        assert page.evaluate(STATE) == "off"
        assert _contacts(server) == []


def _contacts(server: Server) -> list[Contact]:
    """Return the contacts of the user of the example."""
    settings = settings_from({**push_sections(), "redis": {"url": server.url}})
    flow = open_book(settings).all_of(KEY_SPACE, "user-7")
    with server.client() as client:
        return list(run_flow_sync(client, flow).contacts)
