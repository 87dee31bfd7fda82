"""The manners of HTTP that every path has."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.api import INTENT, PATH, TOKENS, ApiProcess, fields, problem
from tests.support.servers import Server
from tests.support.wait import HANG_S

BODY = b'{"type":"t","producer":"p","recipients":["u1"]}'


def _raw(api: httpx.Client, request: bytes) -> bytes:
    """Send what no client would, and return all that is answered."""
    url = urlsplit(str(api.base_url))
    with socket.create_connection((url.hostname, url.port), timeout=HANG_S) as peer:
        peer.sendall(request)
        found = b""
        while part := peer.recv(65_536):
            found += part
    return found


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/status", "/openapi.json", PATH])
def test_head__is_a_get_without_its_body(api: httpx.Client, path: str) -> None:
    """The head is that of the GET."""
    head, whole = api.head(path), api.get(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert head.headers["content-length"]


def test_options__names_the_methods(api: httpx.Client) -> None:
    """Asked what a path can do, it says so; an unknown path is unknown."""
    done = api.options("/v1/dead-letters:replay")
    assert (done.status_code, done.headers["allow"]) == (204, "OPTIONS, POST")
    problem(api.options("/nope"), 404, "not-found")


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=UTF-8",
        'application/json ; profile="a;b" ; Charset="utf-8"',
        "application/json; odata=verbose;",
    ],
)
def test_content_type__may_have_parameters(api: httpx.Client, kind: str) -> None:
    """Parameters that say nothing of how to read the body are let be."""
    done = api.post(PATH, content=BODY, headers={"Content-Type": kind})
    assert done.status_code == 201, done.text


@pytest.mark.parametrize(
    "kind",
    [
        "application/jsonx",
        "application/json; charset=latin-1; charset=utf-8",
        "application/json, text/plain",
        "application/json; charset",
        "json",
    ],
)
def test_content_type__of_something_else_is_415(api: httpx.Client, kind: str) -> None:
    """What is not JSON in UTF-8 for sure is refused, and the answer says what is taken."""
    done = api.post(PATH, content=BODY, headers={"Content-Type": kind})
    problem(done, 415, "unsupported-media-type")
    assert done.headers["accept"] == "application/json"


@pytest.mark.parametrize("codings", [["identity", "gzip"], ["identity, br"], ["", "deflate"]])
def test_content_encoding__is_read_whole(api: httpx.Client, codings: list[str]) -> None:
    """A coding in a second header, or behind a comma, is not overlooked."""
    headers = [("Content-Type", "application/json")]
    headers += [("Content-Encoding", one) for one in codings]
    done = api.post(PATH, content=BODY, headers=headers)
    problem(done, 415, "unsupported-media-type")
    assert done.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("name", ["Content-Type", "X-Request-Id", "Host", "Idempotency-Key"])
def test_header__given_twice_is_400(api: httpx.Client, name: str) -> None:
    """Of two values nobody knows which one was meant, even where both are the same."""
    usual = [b"Host: localhost", b"Content-Type: application/json", b"X-Request-Id: 1"]
    usual += [b"Idempotency-Key: 1", b"Content-Length: %d" % len(BODY), b"Connection: close"]
    usual += [one for one in usual if one.startswith(name.encode())]
    head = b"\r\n".join([b"POST " + PATH.encode() + b" HTTP/1.1", *usual, b"", b""])
    answer = _raw(api, head + BODY)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_token__given_twice_is_400(guarded: ApiProcess, server: Server) -> None:
    """A second Authorization is not overlooked, whichever of them is known."""
    known, other = f"Bearer {TOKENS['ann']}", "Bearer nobody"
    with guarded.client() as api:
        for pair in ((known, other), (other, known), (known, known)):
            headers = [("Authorization", one) for one in pair]
            told = problem(api.get("/v1/status", headers=headers), 400, "bad-request")
            assert fields(told) == ["Authorization"]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "CROSS-SITE", "x"])
@pytest.mark.parametrize("path", ["/v1/status", "/readyz", "/openapi.json"])
def test_browser__is_refused_without_tokens(api: httpx.Client, site: str, path: str) -> None:
    """Whatever a page fetches, a picture as well, is refused; what a person types there is not."""
    problem(api.get(path, headers={"Sec-Fetch-Site": site}), 403, "forbidden")
    problem(api.get(path, headers={"Origin": ""}), 403, "forbidden")
    assert api.get(path, headers={"Sec-Fetch-Site": "none"}).status_code == 200


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match", "If-Unmodified-Since"])
def test_condition__of_a_change_is_412(api: httpx.Client, name: str) -> None:
    """A change that depends on something is not made as if it did not; a look is a look."""
    done = api.post(PATH, json=INTENT, headers={name: "*"})
    problem(done, 412, "precondition-failed")
    assert api.get("/v1/users/u1/preferences", headers={name: "*"}).status_code == 200


def test_parameter__given_twice_is_422(api: httpx.Client) -> None:
    """What can be meant once is refused twice; a filter takes either."""
    told = problem(api.get(f"{PATH}?limit=1&limit=2"), 422, "invalid")
    assert fields(told) == ["limit"]
    assert api.get(f"{PATH}?type=a&type=b").status_code == 200


def test_parameters__too_many_are_422(api: httpx.Client) -> None:
    """They are counted, not compared with each other; what the filters allow is let be."""
    few = "&".join(["type=a"] * 20 + ["producer=p"] * 20 + ["state=open"] * 20)
    assert api.get(f"{PATH}?{few}").status_code == 200
    many = "&".join(f"{number:x}" for number in range(10_000))
    told = problem(api.get(f"{PATH}?{many}"), 422, "invalid")
    assert "more than 128 parameters" in told["detail"]


def test_cookie__of_nothing_but_escapes_is_let_be(api: httpx.Client) -> None:
    """What takes the framework seconds to read is answered as none; a head may have 64 KiB."""
    cookie = 'a="' + "\\" * 60_000 + '"'
    assert api.get("/healthz", headers={"Cookie": cookie}).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/nope", "/v1/status"])
def test_answer__is_nobodys_to_keep(api: httpx.Client, path: str) -> None:
    """No cache keeps it, no browser takes it for something else, no page frames it."""
    headers = api.get(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["date"]


def test_target__may_be_a_whole_url(api: httpx.Client) -> None:
    """A target in absolute form is that of its path, and its host is the one that counts."""
    for host, status in ((b"localhost", b"200"), (b"evil.example", b"403")):
        answer = _raw(
            api,
            b"GET http://%s/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            % host,
        )
        assert answer.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"x" * 100_000, b"414"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, b"431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"\x16\x03\x01 hello\r\n\r\n", b"400"),
    ],
    ids=["target", "head", "coding", "lengths", "no HTTP"],
)
def test_unreadable_request__is_a_problem_too(
    api: httpx.Client, request_: bytes, status: bytes
) -> None:
    """What cannot be read has the status that says why, in the form of every other answer."""
    answer = _raw(api, request_)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"application/problem+json" in answer
    assert b"urn:galaxy-notify:problem:" in answer


def test_body__that_ends_in_nonsense_is_a_problem_too(api: httpx.Client) -> None:
    """The request that was begun is over with the answer."""
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    rest = b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nno chunk\r\n"
    answer = _raw(api, head % PATH.encode() + rest)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_two_lengths__are_400(api: httpx.Client) -> None:
    """A body whose end is told in two ways is not read in either."""
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    rest = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert _raw(api, head % PATH.encode() + rest).startswith(b"HTTP/1.1 400 ")


def test_path__may_be_percent_encoded(api: httpx.Client) -> None:
    """An encoded path is the path it stands for; an encoded slash divides nothing new."""
    assert api.post("/v1/notifications%3Abatch", json=[INTENT]).status_code == 200
    assert api.get("/v1/users/a%40b/preferences").json()["user"] == "a@b"
    problem(api.get("/v1/users/a%2Fb/preferences"), 404, "not-found")
