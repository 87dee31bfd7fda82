"""Preferences on pages in Chromium: what one tab saves is not overwritten by another one."""

from __future__ import annotations

from typing import Any

from tests.support.chromium import Chromium, requires_chromium
from tests.support.gateways import gateway_on
from tests.support.pages import Site, Tab
from tests.support.servers import Server

pytestmark = requires_chromium

_ASK = """(async () => {
  const token = await (await fetch("/token?user=u1")).text();
  const headers = { Authorization: `Bearer ${token}` };
  const body = %s;
  if (body) Object.assign(headers, { "Content-Type": "application/json", "If-Match": window.seen });
  const how = { headers, method: body ? "PUT" : "GET", body: body && JSON.stringify(body) };
  const answer = await fetch(%r, how);
  if (answer.ok) window.seen = answer.headers.get("ETag");
  return { status: answer.status, tag: answer.headers.get("ETag"), ...(await answer.json()) };
})()"""


def _wish(in_app: str) -> str:
    return f'{{ types: {{ "chat.typing": {{ in_app: {in_app} }} }} }}'


def test_tabs__do_not_overwrite_each_other(
    chromium: Chromium, site: Site, profile: str, server: Server
) -> None:
    """The later tab reads what is stored, and saves again; pages of another origin may do so."""
    with gateway_on(server, realtime__allowed_origins=[site.origin]) as gateway:
        first, second = (
            Tab(chromium, profile, site.page(gateway.url, "u1")).live() for _ in range(2)
        )

        def ask(tab: Tab, body: str = "null") -> Any:
            return tab.evaluate(_ASK % (body, f"{gateway.url}/v1/me/preferences"))

        assert ask(first)["tag"] == ask(second)["tag"]
        saved = ask(first, _wish("false"))
        assert (saved["status"], saved["changed"]) == (200, True)
        refused = ask(second, _wish("true"))
        assert (refused["status"], refused["etag"]) == (412, saved["tag"])
        assert refused["tag"] == saved["tag"]
        assert ask(second)["preferences"]["types"] == {"chat.typing": {"in_app": False}}
        assert ask(second, _wish("true"))["changed"]
        assert ask(first, _wish("false"))["status"] == 412
