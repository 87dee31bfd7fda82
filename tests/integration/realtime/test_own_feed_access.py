"""Who may ask for a feed: the user of the token, and no page that is not listed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.api import problem
from tests.support.command import command_for
from tests.support.gateways import gateway_on, token
from tests.support.own_feeds import MARKS, PATH, FeedGateways, OwnFeed, feed_gateways
from tests.support.postgres import Postgres
from tests.support.servers import Server

_PAGE, _COOKIE = "https://app.example", "__Host-session"
_EVERY = [("GET", PATH), ("GET", f"{PATH}/counts"), *(("POST", f"{PATH}/{one}") for one in MARKS)]


def _ask(client: httpx.Client, method: str, path: str, **headers: str) -> httpx.Response:
    body = {"all": True} if method == "POST" else None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request(method, path, headers=named, json=body)


@pytest.mark.parametrize(("method", "path"), _EVERY)
def test_feed__is_for_who_has_a_token(own: OwnFeed, method: str, path: str) -> None:
    """In the header, by its user, for this audience, and not expired."""
    assert _ask(own.client, method, path, Authorization=f"Bearer {token(own.user)}").is_success
    now = time.time()
    for bearer in (
        "x",
        token(own.user, secret="another secret, which is as long as it"),
        token(own.user, aud="the operators"),
        token(own.user, exp=now - 600, iat=now - 900),
        token(own.user, exp=now + 9000),
        token("a user"),
        token(own.user, sub=None),
    ):
        answer = _ask(own.client, method, path, Authorization=f"Bearer {bearer}")
        problem(answer, 401, "unauthorized")
        assert "www-authenticate" in answer.headers
    problem(_ask(own.client, method, path), 401, "unauthorized")
    problem(_ask(own.client, method, f"{path}?token={token(own.user)}"), 401, "unauthorized")


def test_ticket__is_for_a_stream(own: OwnFeed) -> None:
    """It opens no feed, and is not used up by that."""
    ticket = own.client.post("/v1/me/tickets", headers=own.headers).json()["ticket"]
    problem(own.client.get(f"{PATH}?ticket={ticket}"), 401, "unauthorized")


@pytest.fixture
def paged(server: Server, feed_database: Postgres) -> Iterator[FeedGateways]:
    """Give a gateway that takes a cookie, from one page."""
    settings: dict[str, Any] = {
        "realtime__cookie": _COOKIE,
        "realtime__allowed_origins": [_PAGE],
    }
    with feed_gateways(server, feed_database, **settings) as made:
        yield made


def test_cookie__is_taken_from_listed_pages(paged: FeedGateways) -> None:
    """And, of what changes nothing, from a page of the same origin that the browser vouches for."""
    cookie = {"Cookie": f"other=1; {_COOKIE}={token()}"}
    paged.publish("u1")
    with paged.own("u1") as own:
        before = own.counts()
        for method, path in _EVERY:
            for more, is_let_in in (
                ({}, False),
                ({"Sec_Fetch_Site": "same-origin"}, method == "GET"),
                ({"Sec_Fetch_Site": "same-site"}, False),
                ({"Origin": "https://evil.example", "Sec_Fetch_Site": "same-origin"}, False),
                ({"Origin": "null"}, False),
                ({"Origin": _PAGE.upper()}, False),
                *([({"Origin": _PAGE}, True)] if method == "GET" else []),
            ):
                answer = _ask(own.client, method, path, **cookie, **more)
                if is_let_in:
                    assert answer.is_success, (method, path, more)
                else:
                    problem(answer, 403, "forbidden")
                allowed = answer.headers.get("access-control-allow-origin")
                assert allowed == (_PAGE if more.get("Origin") == _PAGE else None)
        assert own.counts() == before
        answer = _ask(own.client, "POST", f"{PATH}/read", **cookie, Origin=_PAGE)
        assert answer.json()["unread"] == 0


def test_page__of_another_origin_asks_before_and_reads_problems(paged: FeedGateways) -> None:
    """A listed one; any other is told nothing."""
    with paged.own("u1") as own:
        for method, path in _EVERY:
            asked = own.client.options(path, headers={"Origin": _PAGE})
            assert asked.status_code == 204
            assert asked.headers["access-control-allow-origin"] == _PAGE
            assert method in asked.headers["access-control-allow-methods"]
            assert "authorization" in asked.headers["access-control-allow-headers"]
            other = own.client.options(path, headers={"Origin": "https://evil.example"})
            assert "access-control-allow-origin" not in other.headers
        wrong = own.client.get(f"{PATH}?limit=0", headers=own.headers | {"Origin": _PAGE})
        problem(wrong, 422, "invalid")
        assert wrong.headers["access-control-allow-origin"] == _PAGE


def test_logout__voids_the_tokens_of_a_feed(server: Server, feed_database: Postgres) -> None:
    """At once, on every path; a token of a later login opens it."""
    with feed_gateways(server, feed_database) as places, places.own("u1") as own:
        old = token(iat=time.time() - 5)
        assert _ask(own.client, "GET", PATH, Authorization=f"Bearer {old}").is_success
        command_for(server, WORKER__SHARDS="2").told("users", "logout", "u1")
        for method, path in _EVERY:
            answer = _ask(own.client, method, path, Authorization=f"Bearer {old}")
            assert "logged out" in problem(answer, 401, "unauthorized")["detail"]
        later = token(iat=time.time() + 2)
        assert _ask(own.client, "GET", PATH, Authorization=f"Bearer {later}").is_success
        assert _ask(own.client, "GET", PATH, Authorization=f"Bearer {token('u2')}").is_success


def test_deployment__without_a_feed_has_no_paths_of_it(server: Server) -> None:
    """Whoever asks, with or without a token."""
    with gateway_on(server) as gateway, gateway.client() as client:
        for method, path in _EVERY:
            headers: dict[str, Any] = {"Authorization": f"Bearer {token()}"}
            problem(_ask(client, method, path, **headers), 404, "not-found")
            problem(_ask(client, method, path), 404, "not-found")
