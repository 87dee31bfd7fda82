"""Whatever goes wrong, the answer is a problem of RFC 9457 that says where."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from galaxy_notify.http.app import make_app
from galaxy_notify.http.auth import Authenticator
from galaxy_notify.http.dependencies import AppState, RequestLimit
from galaxy_notify.http.metrics import Metrics
from galaxy_notify.http.responses import redis_faults
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.settings import settings_from
from galaxy_notify.telemetry.prometheus import start_scraped
from galaxy_notify.web.problems import Problem
from tests.http.conftest import BODY_MS, LIMIT
from tests.support.api import INTENT, PATH, fields, problem
from tests.support.telemetry import json_logs
from tests.support.wait import HANG_S

JSON = {"Content-Type": "application/json"}
#: More than what is read and thrown away, so that a sender hears the answer.
ENDLESS = LIMIT + (20 << 20)


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/v1", "/v1/notifications/", "/docs", "//v1/status"]
)
def test_unknown_path__is_404(api: httpx.Client, path: str) -> None:
    """A path that nobody serves says so."""
    problem(api.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", f"{PATH}/{'0' * 32}", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("POST", "/v1/status", "GET, HEAD, OPTIONS"),
        ("HEAD", "/v1/dead-letters:replay", "OPTIONS, POST"),
        ("PUT", f"{PATH}/{'0' * 32}:retract", "OPTIONS, POST"),
        ("BREW", "/healthz", "GET, HEAD, OPTIONS"),
    ],
)
def test_unknown_method__is_405_and_names_the_others(
    api: httpx.Client, method: str, path: str, allowed: str
) -> None:
    """Every method that the path does have is told."""
    done = api.request(method, path)
    assert done.status_code == 405
    if method != "HEAD":
        problem(done, 405, "method-not-allowed")
    assert done.headers["allow"] == allowed


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_other_content__is_415(api: httpx.Client, headers: dict[str, str]) -> None:
    """Only JSON, uncompressed and in UTF-8, is taken."""
    done = api.post(PATH, content=b"{}", headers=headers)
    problem(done, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "column 1"),
        (b'{"type" "t"}', "at column 9"),
        (b'{\n"type": tru}', "line 2, column 9"),
        (b'{"title": "\xff"}', "byte 12"),
        (b'{"data": {"n": NaN}}', "NaN"),
        (b'{"max_attempts": ' + b"9" * 5000 + b"}", "digits"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1, "a": 2}', "a: is given twice"),
    ],
    ids=["empty", "colon", "word", "bytes", "NaN", "digits", "deep", "twice"],
)
@pytest.mark.parametrize("path", [PATH, f"{PATH}:batch", "/v1/dead-letters:replay"])
def test_no_json__is_400_with_the_place(
    api: httpx.Client, content: bytes, place: str, path: str
) -> None:
    """A body that is no JSON is refused with the place where it stops being it."""
    told = problem(api.post(path, content=content, headers=JSON), 400, "bad-request")
    assert place in told["detail"]


def test_deep_data__is_422(api: httpx.Client) -> None:
    """Data that is nested too deeply is refused by the field's path."""
    data: dict[str, object] = {}
    for _ in range(40):
        data = {"d": data}
    told = problem(api.post(PATH, json=INTENT | {"data": data}), 422, "invalid")
    assert fields(told)[0].startswith("data.d.d")


def _parts(size: int) -> Iterator[bytes]:
    yield b'{"title": "'
    for _ in range(size // 10_000):
        yield b"x" * 10_000
    yield b'"}'


def test_large_body__is_413_however_it_is_sent(api: httpx.Client) -> None:
    """A body over the limit is told of, with its length in the head or without."""
    for content in (b"x" * (LIMIT + 1), _parts(LIMIT + 10_000)):
        told = problem(api.post(PATH, content=content, headers=JSON), 413, "too-large")
        assert str(LIMIT) in told["detail"]
    problem(api.post(PATH, content=b" " * (LIMIT - 2) + b"{}", headers=JSON), 422, "invalid")


def test_endless_body__is_413_and_the_end(api: httpx.Client) -> None:
    """Nobody is read from for ever: a sender that goes on is answered and left."""
    with _connected(api) as peer:
        peer.sendall(_head(f"Content-Length: {ENDLESS}"))
        told = _all_of(peer)
    assert b" 413 " in told.partition(b"\r\n")[0]
    assert b"connection: close" in told
    with _connected(api) as peer:
        peer.sendall(_head("Transfer-Encoding: chunked"))
        assert _taken(peer) < ENDLESS


def test_slow_body__is_408(api: httpx.Client) -> None:
    """A body that does not come to its end in time is told so, and left."""
    with _connected(api) as peer:
        peer.sendall(_head("Content-Length: 10") + b"{")
        told = _all_of(peer)
    assert b" 408 " in told.partition(b"\r\n")[0]
    assert f"{BODY_MS} ms".encode() in told


def test_no_http__is_400(api: httpx.Client) -> None:
    """What is no HTTP at all is answered as well as it can be."""
    with _connected(api) as peer:
        peer.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert _all_of(peer).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", ["limit"]),
        ("limit=many", ["limit"]),
        ("chanel=push", ["chanel"]),
        ("channel=PUSH", ["channel[0]"]),
        ("since=yesterday", ["since"]),
        ("limit=0&chanel=x", ["limit", "chanel"]),
    ],
)
def test_bad_query__is_422_and_names_it(api: httpx.Client, query: str, named: list[str]) -> None:
    """A parameter that is wrong, or that there is not, is named."""
    told = problem(api.get(f"/v1/dead-letters?{query}"), 422, "invalid")
    assert fields(told) == named


def test_other_host__is_403(api: httpx.Client) -> None:
    """Where nobody says who calls, only requests to this machine's own names are served."""
    for host in ("evil.example", "127.0.0.1.evil.example:80", ""):
        problem(api.get("/v1/status", headers={"Host": host}), 403, "forbidden")
    for host in ("localhost:1", "127.0.0.1", "[::1]:8080", "[::1]"):
        assert api.get("/v1/status", headers={"Host": host}).status_code == 200


def test_defect__is_500_and_in_the_log_under_the_id() -> None:
    """Whatever is wrong with us, the answer is a problem, and the log has the rest."""
    done, lines = asyncio.run(_of_a_broken_api())
    problem(done, 500, "internal")
    assert "secret" not in done.text
    (failed,) = [line for line in lines if line["event"] == "request failed"]
    (told,) = [line for line in lines if line["event"] == "request"]
    ids = {failed["request_id"], told["request_id"], done.headers["x-request-id"]}
    assert (failed["exception"]["type"], told["status"], len(ids)) == ("ZeroDivisionError", 500, 1)


async def _of_a_broken_api() -> tuple[httpx.Response, list[dict[str, Any]]]:
    settings = settings_from({})
    broken: Any = _Broken()
    with json_logs() as read:
        state = AppState(
            settings,
            broken,
            broken,
            (scraped := start_scraped({})).telemetry,
            Metrics(scraped, None),
            Authenticator(settings.http),
            RequestLimit(1),
            broken,
            None,
            broken,
        )
        transport = httpx.ASGITransport(make_app(state))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
            done = await api.get("/v1/status")
        state.telemetry.shutdown()
        return done, read()


class _Broken:
    def __getattr__(self, _: str) -> _Broken:
        return self

    async def run(self, _: object) -> None:
        raise ZeroDivisionError("secret")


def test_page_of_a_browser__is_403(api: httpx.Client) -> None:
    """What a page sends from a browser on this machine is refused where nobody says who calls."""
    done = api.post(f"{PATH}:batch", json=[INTENT], headers={"Origin": "https://evil.example"})
    problem(done, 403, "forbidden")


def _head(*lines: str) -> bytes:
    usual = (f"POST {PATH} HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    return "\r\n".join([*usual, *lines, "", ""]).encode()


def _connected(api: httpx.Client) -> socket.socket:
    url = urlsplit(str(api.base_url))
    return socket.create_connection((url.hostname, url.port), timeout=HANG_S)


def _taken(peer: socket.socket) -> int:
    """Send chunks until the peer takes no more; return how many bytes it took."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        # What waits in the buffers of both sides counts as sent, too.
        while sent < 100 << 20:
            peer.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            sent += 65_536
    return sent


def _all_of(peer: socket.socket) -> bytes:
    found = b""
    while part := peer.recv(65_536):
        found += part
    return found


@pytest.mark.parametrize(
    ("code", "remedy", "kind", "status"),
    [
        ("timeout", Remedy.RETRY, "unavailable", 503),
        ("OOM", Remedy.RETRY, "refused", 503),
        ("READONLY", Remedy.RESOLVE, "refused", 503),
        ("WRONGPASS", Remedy.CONFIGURE, "misconfigured", 500),
    ],
)
def test_faults__are_three_kinds(code: str, remedy: Remedy, kind: str, status: int) -> None:
    """Only what may pass by itself says when to come again; the server is named in each."""
    fault = RedisFault(Fault(code, remedy, "why", "127.0.0.1:1", "ann"))
    with pytest.raises(Problem) as raised, redis_faults():
        raise fault
    assert (raised.value.kind, raised.value.status) == (kind, status)
    assert ("Retry-After" in raised.value.headers) == (status == 503)
    assert "127.0.0.1:1" in raised.value.detail
