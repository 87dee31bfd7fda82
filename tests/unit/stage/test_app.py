"""The paths of the stage: its own page may ask and act, and no other one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from galaxy_notify.stage.app import StageApp
from galaxy_notify.stage.sending import Refused

ORIGIN, FRAME = "http://127.0.0.1:8088", "http://127.0.0.1:9001"
OWN = {"host": "127.0.0.1:8088", "origin": ORIGIN, "content-type": "application/json"}


class _Play:
    """A stage on which nothing happens but what is asked."""

    def __init__(self) -> None:
        self.about: Mapping[str, Any] = {"people": []}
        self.scene: Mapping[str, Any] = {"routes": []}
        self.is_over = False
        self.asked: list[tuple[str, Any]] = []

    async def send(self, asked: Any) -> Mapping[str, Any]:
        return self._ask("send", asked)

    def token(self, asked: Any) -> Mapping[str, Any]:
        return self._ask("token", asked)

    def kill(self, asked: Any) -> Mapping[str, Any]:
        return self._ask("kill", asked)

    def _ask(self, what: str, asked: Any) -> Mapping[str, Any]:
        if asked == "refuse":
            raise Refused("not this")
        self.asked.append((what, asked))
        return {"done": what}


def _ask(
    play: _Play, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an answer."""
    sent: list[Any] = []
    came = [{"type": "http.request", "body": body}]

    async def receive() -> Any:
        if came:
            return came.pop()
        play.is_over = True
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": given}
    asyncio.run(StageApp(play, ORIGIN, [FRAME])(scope, receive, send))
    about = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], about, b"".join(part["body"] for part in sent[1:])


@pytest.mark.parametrize("path", ["/", "/stage.css", "/stage.js", "/tally.js", "/routes.js"])
def test_page__is_served_with_a_strict_policy(path: str) -> None:
    """It may frame the bells, and nothing may frame it."""
    status, headers, body = _ask(_Play(), "GET", path, OWN)
    policy = headers["content-security-policy"]
    assert status == 200
    assert body
    assert f"frame-src {FRAME};" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/about.json", "/events", "/send"])
@pytest.mark.parametrize("host", ["", "evil.example.com:8088", "localhost:8088", "127.0.0.1"])
def test_other_hosts__get_nothing(path: str, host: str) -> None:
    """A name that somebody else points to this machine opens nothing."""
    play = _Play()
    for method in ("GET", "POST"):
        assert _ask(play, method, path, OWN | {"host": host}, b"{}")[0] == 403
    assert play.asked == []


@pytest.mark.parametrize("path", ["/send", "/token", "/kill"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example.com"},
        {"origin": FRAME},
        {"origin": "null"},
        {"origin": ""},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
    ],
)
def test_other_pages__may_not_act(path: str, headers: dict[str, str]) -> None:
    """Neither those of other origins nor a bell; a form cannot send JSON."""
    play = _Play()
    assert _ask(play, "POST", path, OWN | headers, b"{}")[0] == 403
    assert play.asked == []


def test_own_page__acts() -> None:
    """Each button does what it says; what is refused says why."""
    play = _Play()
    for path in ("/send", "/token", "/kill"):
        status, _, body = _ask(play, "POST", path, OWN, b'{"a": 1}')
        assert (status, json.loads(body)) == (200, {"done": path[1:]})
    assert play.asked == [("send", {"a": 1}), ("token", {"a": 1}), ("kill", {"a": 1})]
    status, _, body = _ask(play, "POST", "/kill", OWN, b'"refuse"')
    assert (status, json.loads(body)) == (422, {"detail": "not this"})


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/stage.py", b"", 404),
        ("GET", "/../app.py", b"", 404),
        ("POST", "/other", b"{}", 404),
        ("POST", "/send", b"{", 400),
        ("POST", "/send", b"[" * 60_000, 400),
        ("POST", "/send", b" " * 70_000, 422),
        ("PUT", "/send", b"{}", 405),
    ],
)
def test_other_requests__are_refused(method: str, path: str, body: bytes, status: int) -> None:
    """Nothing but what the page needs is there."""
    play = _Play()
    assert _ask(play, method, path, OWN, body)[0] == status
    assert play.asked == []


def test_events__say_what_moves_until_the_end() -> None:
    """Each scene is one event."""
    status, headers, body = _ask(_Play(), "GET", "/events", OWN)
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert body == b'data: {"routes": []}\n\n'
