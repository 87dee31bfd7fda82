"""The paths of the stage: the page, what it shows, and what its buttons do. Plain ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from galaxy_notify.stage.sending import Refused

_Asgi = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Asgi]]
_Send = Callable[[_Asgi], Awaitable[None]]

_FOLDER: Final = Path(__file__).parent / "page"
_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/stage.css": ("stage.css", "text/css; charset=utf-8"),
    "/stage.js": ("stage.js", "text/javascript; charset=utf-8"),
    "/tally.js": ("tally.js", "text/javascript; charset=utf-8"),
    "/routes.js": ("routes.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "frame-src {frames}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_JSON: Final = "application/json"
_MOST_BYTES: Final = 65_536
_EVERY_S: Final = 0.12
#: A comment says that the stream is alive, where nothing else does.
_QUIET_TURNS: Final = 100


class Play(Protocol):
    """What happens on the stage."""

    #: What the page needs to know once: people, and where their bells are.
    about: Mapping[str, Any]
    #: What moves: it is another object whenever something has changed.
    scene: Mapping[str, Any]

    @property
    def is_over(self) -> bool:
        """Whether the stage is about to end."""

    async def send(self, asked: Any) -> Mapping[str, Any]:
        """Notify users as the form asks; raise `Refused`."""

    def token(self, asked: Any) -> Mapping[str, Any]:
        """Return a token of a user of the stage; raise `Refused`."""

    def kill(self, asked: Any) -> Mapping[str, Any]:
        """Kill a process; raise `Refused`."""


class _Answer(NamedTuple):
    status: int
    kind: str
    body: bytes


class StageApp:
    """Answers the browser of who watches; other pages, and other names of this host, get nothing.

    *origin* is the only origin that the stage has, *frames* are those of the bells.
    """

    def __init__(self, play: Play, origin: str, frames: Sequence[str]) -> None:
        self._play = play
        self._origin = origin
        self._host = origin.partition("//")[2]
        self._headers = [
            (b"cache-control", b"no-store"),
            (b"content-security-policy", _POLICY.format(frames=" ".join(frames)).encode()),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, scope: _Asgi, receive: _Receive, send: _Send) -> None:
        """Answer a request."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        method, path = scope["method"], scope["path"]
        if headers.get(b"host") != self._host:
            answer = _refusal(403, f"open {self._origin}/ instead")
        elif method == "GET" and path == "/events":
            await self._events(receive, send)
            return
        elif method == "GET":
            answer = self._read(path)
        elif method == "POST":
            answer = await self._change(path, headers, receive)
        else:
            answer = _refusal(405, "GET and POST are known")
        await self._begin(send, answer.status, answer.kind, len(answer.body))
        await send({"type": "http.response.body", "body": answer.body})

    def _read(self, path: str) -> _Answer:
        if path == "/about.json":
            return _document(self._play.about)
        if path not in _FILES:
            return _refusal(404, "there is nothing of this name")
        name, kind = _FILES[path]
        return _Answer(200, kind, (_FOLDER / name).read_bytes())

    async def _change(self, path: str, headers: Mapping[bytes, str], receive: _Receive) -> _Answer:
        """Do what a button asks for: only the page of the stage itself may.

        Every browser names the origin of a page that sends a POST, and a page of another one cannot
        send JSON without being asked for it first.
        """
        if headers.get(b"origin") != self._origin or headers.get(b"content-type") != _JSON:
            return _refusal(403, "only the page of the stage may do this")
        if path not in ("/send", "/token", "/kill"):
            return _refusal(404, "there is nothing of this name")
        try:
            return _document(await self._act(path, json.loads(await _body(receive))))
        except Refused as refused:
            return _refusal(422, str(refused))
        except (ValueError, RecursionError):
            return _refusal(400, "the body is not JSON")

    async def _act(self, path: str, asked: Any) -> Mapping[str, Any]:
        if path == "/send":
            return await self._play.send(asked)
        return self._play.token(asked) if path == "/token" else self._play.kill(asked)

    async def _events(self, receive: _Receive, send: _Send) -> None:
        """Send what moves, whenever it has changed, until the browser leaves or the stage ends."""
        await self._begin(send, 200, "text/event-stream; charset=utf-8")
        leaving = asyncio.ensure_future(_disconnect(receive))
        shown: Mapping[str, Any] | None = None
        quiet = 0
        try:
            while not leaving.done() and not self._play.is_over:
                scene, quiet = self._play.scene, quiet + 1
                if scene is not shown or quiet > _QUIET_TURNS:
                    line = f"data: {json.dumps(scene)}\n\n" if scene is not shown else ": quiet\n\n"
                    shown, quiet = scene, 0
                    await _part(send, line.encode())
                await asyncio.wait({leaving}, timeout=_EVERY_S)
        finally:
            leaving.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _begin(self, send: _Send, status: int, kind: str, length: int | None = None) -> None:
        about = [(b"content-type", kind.encode())]
        if length is not None:
            about.append((b"content-length", str(length).encode()))
        headers = [*about, *self._headers]
        await send({"type": "http.response.start", "status": status, "headers": headers})


def _document(value: Mapping[str, Any]) -> _Answer:
    return _Answer(200, _JSON, json.dumps(value).encode())


def _refusal(status: int, detail: str) -> _Answer:
    return _Answer(status, _JSON, json.dumps({"detail": detail}).encode())


async def _part(send: _Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _body(receive: _Receive) -> bytes:
    """Return a whole body; raise `Refused` for one that is too long or incomplete."""
    body, has_more = b"", True
    while has_more:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused("the body is incomplete")
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
        if len(body) > _MOST_BYTES:
            raise Refused("the body is too long")
    return body


async def _disconnect(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
