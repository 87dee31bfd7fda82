"""The files of the browser client as a gateway process answers them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from galaxy_notify.realtime.client_files import client_files
from tests.support.gateways import GatewayProcess, gateway_on
from tests.support.servers import main_server, running

ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def place() -> Iterator[GatewayProcess]:
    """Give a gateway that lets the pages of one origin in."""
    allowed = {"realtime__allowed_origins": [ORIGIN]}
    with running(main_server()) as server, gateway_on(server, **allowed) as made:
        yield made


@pytest.fixture
def client(place: GatewayProcess) -> Iterator[httpx.Client]:
    """Give a client without a token."""
    with place.client() as made:
        yield made


@pytest.mark.parametrize("path", client_files())
def test_file__is_there_for_pages_of_all_hosts(client: httpx.Client, path: str) -> None:
    """Anyone may load it; scripts of listed origins may import it as a module."""
    file = client_files()[path]
    found = client.get(path, headers={"Origin": ORIGIN})
    assert (found.status_code, found.content) == (200, file.body)
    kind = "text/javascript" if path.endswith(".js") else "text/plain"
    assert found.headers["content-type"] == f"{kind}; charset=utf-8"
    assert found.headers["cross-origin-resource-policy"] == "cross-origin"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["access-control-allow-origin"] == ORIGIN
    assert found.headers["vary"] == "origin"
    foreign = client.get(path, headers={"Origin": "https://other.example.com"})
    assert "access-control-allow-origin" not in foreign.headers
    assert foreign.headers["vary"] == "origin"


@pytest.mark.parametrize("path", client_files())
def test_file__is_not_sent_again(client: httpx.Client, path: str) -> None:
    """A browser that has it is told so, with all that it needs to keep it longer."""
    found = client.get(path)
    kept = ("etag", "cache-control", "vary", "cross-origin-resource-policy")
    again = client.get(path, headers={"If-None-Match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert {name: again.headers[name] for name in kept} == {n: found.headers[n] for n in kept}
    assert client.get(path, headers={"If-None-Match": '"old"'}).status_code == 200


@pytest.mark.parametrize("path", client_files())
def test_head__has_the_headers_only(client: httpx.Client, path: str) -> None:
    """HEAD answers as GET does, without the file."""
    found, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == found.headers


def test_named_file__is_found_by_the_plain_one(client: httpx.Client) -> None:
    """`Content-Location` of /client.js names what may be kept for good; other names are unknown."""
    named = client.head("/client.js").headers["content-location"]
    found = client.get(named)
    assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get("/client-0123456789abcdef.js").status_code == 404
    assert client.post(named).status_code == 405


def test_other_answers__are_for_this_host_only(client: httpx.Client) -> None:
    """Only these files may be loaded by any page."""
    for path in ("/healthz", "/v1/me/stream", "/client"):
        assert client.get(path).headers["cross-origin-resource-policy"] == "same-origin"
