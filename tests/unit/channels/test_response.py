"""Responses as they come in, whole, in pieces, and in forms that no server should send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.channels.response import Garbled, Response

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def read(*pieces: bytes) -> Response:
    """Feed pieces until there is enough."""
    response = Response()
    for piece in pieces:
        if not response.enough:
            response.feed(piece)
    return response


@pytest.mark.parametrize(
    ("text", "status", "body", "enough", "keeps_alive"),
    [
        (OK, 200, b"ok", True, True),
        (OK.replace(b"\r\n", b"\n"), 200, b"ok", True, True),
        (OK.replace(b"OK", b""), 200, b"ok", True, True),
        (OK.replace(b"1.1", b"1.0"), 200, b"ok", True, False),
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 200, b"ok", True, False),
        (OK.replace(b"Content", b"X-A: a\x01\xffb\r\nContent"), 200, b"ok", True, True),
        (OK + b"rest", 200, b"ok", True, False),
        (OK + OK, 200, b"ok", True, False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True, True),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil its end", 200, b"until its end", False, False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK, 200, b"ok", True, True),
        (b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nx", 101, b"", True, False),
        (
            b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n1\r\n!\r\n0\r\n\r\n",
            *(503, b"no!", True, True),
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nxyz\r\n",
            *(200, b"ok", True, False),
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 5000,
            *(200, b"x" * 4096, True, False),
        ),
    ],
)
def test_response__is_read(
    text: bytes, status: int, body: bytes, enough: bool, keeps_alive: bool
) -> None:
    """The status counts as soon as it is there, whatever follows."""
    response = read(text)
    assert (response.status, response.body) == (status, body)
    assert (response.enough, response.keeps_alive) == (enough, keeps_alive)


def test_response__in_single_bytes() -> None:
    """It is the same; behind its end nothing is read."""
    response = read(*(bytes([byte]) for byte in OK))
    assert (response.status, response.body, response.keeps_alive) == (200, b"ok", True)


def test_retry_after__is_that_of_the_last_response() -> None:
    """An interim response does not decide."""
    interim = b"HTTP/1.1 103 E\r\nRetry-After: 1\r\n\r\n"
    assert read(interim + b"HTTP/1.1 503 N\r\nretry-AFTER: 7\r\n\r\n").retry_after == "7"
    assert read(interim + OK).retry_after == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\0", "no HTTP response"),
        (b"SSH-2.0-x\r\n", "no HTTP response"),
        (b"HTTP/2 200 OK\r\n", "no HTTP response"),
        (b"HTTP/1.1 99 No\r\n", "no HTTP response"),
        (b"POST / HTTP/1.1\r\n", "no HTTP response"),
        (OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"), "no HTTP response"),
        (OK.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), "no HTTP response"),
        (b"HTTP/1.1 100 C\r\n\r\n" * 17, "interim responses without end"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 65_536, "headers are too long"),
    ],
)
def test_response__that_is_garbled(text: bytes, why: str) -> None:
    """With the reason, also where it comes in pieces."""
    for pieces in ([text], [text[at : at + 4096] for at in range(0, len(text), 4096)]):
        with pytest.raises(Garbled, match=why):
            read(*pieces)


@given(st.lists(st.binary(max_size=50)), st.sampled_from([b"", OK[:-5], b"HTTP/1.1 200"]))
def test_response__of_any_bytes(pieces: list[bytes], begin: bytes) -> None:
    """It is read or garbled, and nothing else."""
    try:
        response = read(begin, *pieces)
    except Garbled:
        return
    assert len(response.body) <= 4096
