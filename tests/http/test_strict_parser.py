"""What a parser could read in two ways, or without end, is refused; the rest is served."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from galaxy_notify.web.strict_parser import HEAD_BYTES, MOST_AHEAD
from tests.support.api import INTENT, PATH, ApiProcess
from tests.support.wait import HANG_S, wait_until

_BODY = b'{"type":"t","producer":"p","recipients":["u1"]}'
_GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
_POST = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % PATH.encode()
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(_BODY), _BODY)


@contextmanager
def _peer(api: httpx.Client) -> Iterator[socket.socket]:
    url = urlsplit(str(api.base_url))
    with socket.create_connection((url.hostname, url.port), timeout=HANG_S) as peer:
        yield peer


def _all(peer: socket.socket) -> bytes:
    """Return all that comes until the end of output."""
    found = b""
    while part := peer.recv(65_536):
        found += part
    return found


def _statuses(answers: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),
        (_GET + b"Host: localhost\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", b"400"),
        (b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (_GET + b"X : 1\r\n\r\n", b"400"),
        (_GET + b"X: a\0b\r\n\r\n", b"400"),
        (_GET + b"X: 1\r\n 2\r\n\r\n", b"400"),
        (_GET.replace(b"\r\n", b"\n") + b"\n", b"400"),
        (_POST + b"Content-Length: +1\r\n\r\n1", b"400"),
        (_POST + b"Content-Length: 0\r\n" + _CHUNKED + b"\r\n", b"400"),
        (_POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", b"400"),
        (_POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"501"),
        (_POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", b"501"),
        (_POST + b"Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\n1", b"501"),
    ],
)
def test_unclear_request__is_refused(api: httpx.Client, request_: bytes, status: bytes) -> None:
    """What two readers could take apart in two ways has no other answer than a refusal."""
    with _peer(api) as peer:
        peer.sendall(request_)
        answer = _all(peer)
    assert _statuses(answer) == [status]
    assert b"application/problem+json" in answer
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    "request_",
    [
        _POST + b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY),
        _POST + _CHUNKED + b"\r\n",
        _POST + _CHUNKED + b"Authorization: Bearer x\r\nHost: evil.example\r\n\r\n",
        _POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" + _CHUNKED + b"\r\n",
        _POST.replace(b"localhost\r\n", b"localhost \t\r\n") + _CHUNKED + b"\r\n",
        _POST + b"Expect: 100-continue\r\n" + _CHUNKED + b"\r\n",
    ],
    ids=["length", "chunks", "trailers", "upgrade", "blanks", "expect"],
)
def test_request__in_pieces_is_served_as_whole(api: httpx.Client, request_: bytes) -> None:
    """However it is cut, it is one request; what follows a body is no header of it."""
    with _peer(api) as peer:
        for piece in (
            [request_],
            [request_[:90], request_[90:]],
            [bytes([one]) for one in request_],
        ):
            for part in piece:
                peer.sendall(part)
            answer = b""
            while b"notification_id" not in answer:
                answer += peer.recv(65_536)
            assert _statuses(answer)[-1] == b"201", answer


@pytest.mark.parametrize(
    ("begun", "filler", "status"),
    [
        (b"GET /", b"x", b"414"),
        (_GET + b"X: ", b"x", b"431"),
        (_GET, b"X: 1\r\n", b"431"),
        (_POST + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"x", b"400"),
        (_POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\nX: ", b"x", b"400"),
    ],
    ids=["target", "header", "headers", "extension", "trailer"],
)
def test_endless_request__is_refused(
    api: httpx.Client, begun: bytes, filler: bytes, status: bytes
) -> None:
    """What is neither a head that ends nor a body has a bound, also behind the head."""
    with _peer(api) as peer:
        peer.sendall(begun + filler * (2 * HEAD_BYTES // len(filler)))
        assert _statuses(_all(peer)) == [status]


def test_requests__ahead_of_the_answers_are_answered_in_order(api: httpx.Client) -> None:
    """A client may send several requests before it reads."""
    many = _POST + _CHUNKED + b"\r\n" + _GET + b"\r\n" + b"GET /nope" + _GET[12:] + b"\r\n"
    with _peer(api) as peer:
        peer.sendall(many + _GET + b"Connection: close\r\n\r\n")
        assert _statuses(_all(peer)) == [b"201", b"200", b"404", b"200"]


def test_bodies__ahead_of_the_answers_are_read_on(api: httpx.Client) -> None:
    """What is not read while requests wait is read once they are answered."""
    body = json.dumps(INTENT | {"data": {"x": "x" * 40_000}}).encode()
    one = _POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    with _peer(api) as peer:
        peer.sendall(one * 20 + _GET + b"Connection: close\r\n\r\n")
        assert _statuses(_all(peer)) == [b"201"] * 20 + [b"200"]


def test_requests__far_ahead_are_not_served(api: httpx.Client) -> None:
    """Those before the bound are answered, then the connection is closed."""
    with _peer(api) as peer:
        peer.sendall((_GET + b"\r\n") * (3 * MOST_AHEAD))
        answers = _all(peer)
    assert set(_statuses(answers)) == {b"200"}
    assert len(_statuses(answers)) <= MOST_AHEAD + 2


def test_nonsense__behind_a_request_does_not_take_its_answer(api: httpx.Client) -> None:
    """The refusal is not taken for the answer to the request before it."""
    with _peer(api) as peer:
        peer.sendall(_POST + _CHUNKED + b"\r\n" + b"no HTTP\r\n\r\n")
        assert _statuses(_all(peer)) == [b"201"]
        assert api.get("/v1/status").json()["totals"]["accepted"] == 1


def test_nonsense__in_an_expected_body_is_no_defect(
    api: httpx.Client, open_process: ApiProcess
) -> None:
    """The client is at fault also in the log and in the counts, not the endpoint."""
    begun = b"X-Request-Id: chunk\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    with _peer(api) as peer:
        peer.sendall(_POST + begun + b"no chunk\r\n")
        assert _statuses(_all(peer)) == [b"400"]

    def lines() -> list[dict[str, object]]:
        return [one for one in open_process.lines("request") if one["request_id"] == "chunk"]

    wait_until(lambda: bool(lines()), "the request is logged")
    assert [one["status"] for one in lines()] == [400]


def test_method__that_is_unknown_is_405(api: httpx.Client) -> None:
    """The parser knows its methods; the answer is that of the application all the same."""
    with _peer(api) as peer:
        peer.sendall(b"BREW" + _GET[3:] + b"Connection: close\r\n\r\n")
        answer = _all(peer)
    assert _statuses(answer) == [b"405"]
    assert b"no route for BREW /healthz" in answer
