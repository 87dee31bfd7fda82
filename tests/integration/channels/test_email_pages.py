"""The default e-mail and the page behind its link, as a browser shows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from galaxy_notify.contacts.sealing import ContactPlace
from galaxy_notify.contacts.unsubscribe_token import unsubscribe_token
from galaxy_notify.mail.templates import Templates
from galaxy_notify.settings.contacts import parse_key
from tests.support.api import ApiProcess, api_on, entry
from tests.support.chromium import Chromium, Page, requires_chromium, running_chromium
from tests.support.contacts import key
from tests.support.servers import Server
from tests.support.settings import NEEDED
from tests.support.wait import wait_until

pytestmark = requires_chromium

MAIL = {"kind": "email", **NEEDED["email"]}
HOSTILE = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"
VALUES: dict[str, Any] = {
    "title": f"It is your turn {HOSTILE}",
    "body": f"Ada has moved.\n{'long' * 60}\n{HOSTILE}",
    "type": "game.turn.ready",
    "severity": "warning",
    "data": {},
    "link": "https://example.com/g/1",
    "sender": "Example",
    "colour": "#e0a100",
    "unsubscribe_url": "https://example.com/u?token=t",
}
#: The least contrast between any text and what is behind it, as WCAG counts it.
CONTRAST = """
(() => {
  const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const rgba = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const found = rgba(getComputedStyle(e).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = 21;
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !e.getClientRects().length) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(behind(e))];
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
})()
"""
FITS = "document.documentElement.scrollWidth <= innerWidth"
LOADED = "document.readyState === 'complete' && location.protocol !== 'about:'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    """Run a browser."""
    with running_chromium() as made:
        yield made


@pytest.fixture
def page(browser: Chromium) -> Iterator[Page]:
    """Open a page of a new profile."""
    with browser.profile() as profile:
        yield Page(browser, profile)


def show(page: Page, url: str, width: int, scheme: str) -> None:
    """Show an address on a screen."""
    metrics = {"width": width, "height": 640, "deviceScaleFactor": 1, "mobile": False}
    page.command("Emulation.setDeviceMetricsOverride", **metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.command("Emulation.setEmulatedMedia", features=[feature])
    page.goto(url)
    wait_until(lambda: page.evaluate(LOADED), "the page is shown")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_mail__can_be_read(page: Page, tmp_path: Path, width: int, scheme: str) -> None:
    """It fits the screen and has contrast, and what is in it is text."""
    file = tmp_path / "mail.html"
    file.write_text(Templates("").write("game.turn.ready", VALUES).html, encoding="utf-8")
    show(page, file.as_uri(), width, scheme)
    assert page.evaluate(FITS)
    assert page.evaluate(CONTRAST) >= 4.5
    assert page.evaluate("document.querySelectorAll('script, img').length") == 0
    assert HOSTILE in page.evaluate("document.querySelector('h1').textContent")
    assert page.evaluate("document.title") != "run"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 22, 26)" if scheme == "dark" else "rgb(243, 244, 246)")


@pytest.fixture
def process(server: Server) -> Iterator[ApiProcess]:
    """Start an API that stores contacts."""
    channel = {f"channels.mail__{name}": value for name, value in MAIL.items()}
    with api_on(
        server,
        http__tokens=[entry("shop", "producer")],
        worker__channels=["push", "mail"],
        contacts__keys=[key()],
        **channel,
    ) as api:
        yield api


def contact(shop: httpx.Client) -> dict[str, Any]:
    """Return the one contact of the user."""
    (found,) = shop.get("/v1/users/u1/contacts").json()["contacts"]
    shown: dict[str, Any] = found
    return shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_link__needs_its_button(page: Page, process: ApiProcess, width: int, scheme: str) -> None:
    """To open it, as scanners do, changes nothing; its button does, also by the keyboard."""
    with process.client("shop") as shop:
        address = {"channel": "mail", "address": "ada@example.com"}
        shop.put("/v1/users/u1/contacts", json=[address])
        place = ContactPlace("u1", "mail", contact(shop)["id"])
        token = unsubscribe_token(place, parse_key(key()))
        show(page, f"{process.url}/v1/unsubscribe?token={token}", width, scheme)
        assert page.evaluate("document.title") == "Unsubscribe?"
        assert page.evaluate(FITS)
        assert page.evaluate(CONTRAST) >= 4.5
        assert contact(shop)["disabled_at_ms"] is None
        for name, code in (("Tab", 9), ("Enter", 13)):
            pressed = {"key": name, "code": name, "windowsVirtualKeyCode": code}
            text = {"text": "\r"} if name == "Enter" else {}
            page.command("Input.dispatchKeyEvent", type="keyDown", **pressed, **text)
            page.command("Input.dispatchKeyEvent", type="keyUp", **pressed)
        wait_until(lambda: page.evaluate("document.title") == "Unsubscribed", "it is done")
        assert contact(shop)["disabled_reason"] == "unsubscribed"
