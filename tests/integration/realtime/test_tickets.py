"""Tickets: each opens one stream of its user, once and soon, and says nothing to anybody else."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.api import problem
from tests.support.gateways import KEY_SPACE, GatewayProcess, Publisher, gateway_on, token
from tests.support.servers import Server
from tests.support.streams import PATH, StreamClient, connect, request
from tests.support.wait import wait_until
from tests.support.websockets import PATH as WEBSOCKET_PATH
from tests.support.websockets import WebSocketClient, handshake

_ISSUE = "/v1/me/tickets"
_PAGE = "https://app.example"
_COOKIE = "__Host-session"


@pytest.fixture
def admin(gateway: GatewayProcess) -> Iterator[Any]:
    """Give a client of the gateway's server."""
    with gateway.server.client() as client:
        yield client


def _issue(gateway: GatewayProcess, user: str = "u1", **claims: Any) -> str:
    with gateway.client() as client:
        bearer = {"Authorization": f"Bearer {token(user, **claims)}"}
        answer = client.post(_ISSUE, headers=bearer)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        document = answer.json()
        assert document.keys() == {"ticket", "expires_in_s"}
        assert document["expires_in_s"] == 30
        return str(document["ticket"])


def _open(gateway: GatewayProcess, ticket: str, **headers: str) -> StreamClient:
    sent = request(f"{PATH}?ticket={ticket}", **headers)
    return StreamClient(connect(gateway.url), sent)


def _status(gateway: GatewayProcess, ticket: str) -> int:
    with _open(gateway, ticket) as client:
        return client.status


def _key(user: str) -> str:
    return KEY_SPACE.keys_of_user(user).tickets(user)


def test_ticket__opens_one_stream(
    gateway: GatewayProcess, publish: Publisher, user: str, admin: Any
) -> None:
    """Of the user of its token; then it is used, and nothing of it is left."""
    ticket = _issue(gateway, user)
    with _open(gateway, ticket) as stream:
        stream.expect("hello")
        assert not admin.exists(_key(user))
        (number,) = publish(user)
        assert stream.expect("notification").data["data"]["number"] == number
        with _open(gateway, ticket) as again:
            assert again.status == 401
            assert 'error="invalid_token"' in again.headers["www-authenticate"]


def test_ticket__opens_a_websocket_that_resumes(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """A browser's has no headers of its own: ticket and cursor are in the query."""
    with _open(gateway, _issue(gateway, user)) as stream:
        stream.expect("hello")
        publish(user, user)
        cursor = [stream.expect("notification").id for _ in range(2)][-1]
    (number,) = publish(user)
    query = f"?cursor={cursor}&ticket={_issue(gateway, user)}"
    sent = handshake("somebody", query, Authorization=None, Origin="https://evil.example")
    with WebSocketClient(connect(gateway.url), sent) as websocket:
        assert websocket.status == 101
        assert websocket.expect("hello").data["resumed"] is True
        assert websocket.expect("notification").data["data"]["number"] == number


def test_ticket__is_for_who_has_a_token(gateway: GatewayProcess) -> None:
    """It is asked for by POST, with a token; a ticket issues no other one."""
    with gateway.client() as client:
        problem(client.post(_ISSUE), 401, "unauthorized")
        problem(client.post(_ISSUE, headers={"Authorization": "Bearer x"}), 401, "unauthorized")
        problem(client.post(f"{_ISSUE}?ticket={_issue(gateway)}"), 401, "unauthorized")
        problem(client.post(f"{_ISSUE}?token={token()}"), 401, "unauthorized")
        for method in ("GET", "PUT", "DELETE", "HEAD"):
            answer = client.request(method, _ISSUE)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")


def test_ticket__is_valid_for_half_a_minute(gateway: GatewayProcess, user: str, admin: Any) -> None:
    """Then it is refused; Redis forgets it by itself."""
    ticket = _issue(gateway, user)
    assert 0 < admin.pttl(_key(user)) <= 30_000
    ((digest, expires_ms),) = admin.zrange(_key(user), 0, -1, withscores=True)
    assert 0 < expires_ms - time.time() * 1000 <= 30_000
    admin.zadd(_key(user), {digest: time.time() * 1000 - 1})
    assert _status(gateway, ticket) == 401


def test_ticket__does_not_lie_in_redis(gateway: GatewayProcess, user: str, admin: Any) -> None:
    """Who reads the server cannot use it."""
    ticket = _issue(gateway, user)
    (digest,) = admin.zrange(_key(user), 0, -1)
    assert len(digest) == 16
    assert digest not in ticket.encode()


def _forged(ticket: str, user: str) -> dict[str, str]:
    own, issued, expires, secret = ticket.split(".")
    other = urlsafe_b64encode(b"somebody-else").decode().rstrip("=")
    later = str(int(expires) + 3_600_000)
    padding = "=" * (-len(own) % 4)
    return {
        "another user": f"{other}.{issued}.{expires}.{secret}",
        "a later end": f"{own}.{issued}.{later}.{secret}",
        "a later beginning": f"{own}.{int(issued) + 1}.{expires}.{secret}",
        "another secret": f"{own}.{issued}.{expires}.{secret[::-1]}",
        "cut": f"{own}.{issued}.{expires}.{secret[:-1]}",
        "user padded": f"{own}{padding or '===='}.{issued}.{expires}.{secret}",
        "other user, not ASCII": f"w7w.{issued}.{expires}.{secret}",
        "no base64": f"a.{issued}.{expires}.{secret}",
        "no user": f".{issued}.{expires}.{secret}",
        "user with a brace": f"{_base64('{gn:0}')}.{issued}.{expires}.{secret}",
        "user with a line": f"{_base64('u1' + chr(10))}.{issued}.{expires}.{secret}",
        "large numbers": f"{own}.{'9' * 16}.{'9' * 16}.{secret}",
        "other digits": f"{own}.%D9%A1.{expires}.{secret}",
        "a line behind it": f"{ticket}%0A",
        "a token": token(user),
        "the digest": "x" * 16,
        "long": "a" * 10_000,
    }


def _base64(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_ticket__that_was_forged_opens_nothing(gateway: GatewayProcess, user: str) -> None:
    """The true one is still valid behind all that were tried."""
    ticket = _issue(gateway, user)
    for what, forged in _forged(ticket, user).items():
        assert _status(gateway, forged) == 401, what
    assert _status(gateway, ticket) == 200


def test_ticket__used_by_twenty_at_once_opens_one(gateway: GatewayProcess, user: str) -> None:
    """Whoever asks first, exactly one of them gets the stream."""
    for _ in range(5):
        ticket = _issue(gateway, user)
        with ExitStack() as stack:
            peers = [stack.enter_context(connect(gateway.url)) for _ in range(20)]
            for peer in peers:
                peer.sendall(request(f"{PATH}?ticket={ticket}"))
            found = [peer.recv(1 << 16).split(b" ", 2)[1] for peer in peers]
        assert sorted(found) == [b"200", *[b"401"] * 19]


def test_tickets__of_a_user_are_bounded(gateway: GatewayProcess, user: str, admin: Any) -> None:
    """The oldest are void, the newest are valid."""
    tickets = [_issue(gateway, user) for _ in range(66)]
    assert admin.zcard(_key(user)) == 64
    assert _status(gateway, tickets[-1]) == 200
    assert _status(gateway, tickets[0]) == 401


@pytest.mark.parametrize("name", ["a", "+49123", "A.b_c~d:e@f+g-h", "x" * 128])
def test_ticket__of_any_user(gateway: GatewayProcess, name: str) -> None:
    """Whatever a user may be called."""
    assert _status(gateway, _issue(gateway, name)) == 200


def test_ticket__lasts_no_longer_than_its_token(server: Server) -> None:
    """The stream ends with the token, and an expired one's ticket is refused."""
    with gateway_on(server, realtime__jwt_leeway_ms=0) as gateway:
        first, second = _until_open(gateway)
        with first as stream:
            assert stream.until("bye")[-1].data["reason"] == "expired"
        assert _status(gateway, second) == 401


def _until_open(gateway: GatewayProcess) -> tuple[StreamClient, str]:
    """Open a stream before the token of its ticket expires; return another ticket of that token."""
    while True:
        bearer = {"Authorization": f"Bearer {token(exp=time.time() + 3)}"}
        with gateway.client() as client:
            answers = [client.post(_ISSUE, headers=bearer).json() for _ in range(2)]
        first, second = (str(answer.get("ticket")) for answer in answers)
        stream = _open(gateway, first)
        if stream.status == 200:
            return stream, second
        stream.close()


def test_authorization__comes_before_a_ticket(gateway: GatewayProcess, user: str) -> None:
    """A client that sends both uses up no ticket; a wrong token is not made good by one."""
    ticket = _issue(gateway, user)
    with _open(gateway, ticket, Authorization="Bearer x") as client:
        assert client.status == 401
    with _open(gateway, ticket, Authorization=f"Bearer {token(user)}") as client:
        assert client.status == 200
    assert _status(gateway, ticket) == 200


def test_page__of_another_host_gets_no_ticket_by_the_cookie(server: Server) -> None:
    """Nothing is issued; a listed page gets one that it can read, and asks before."""
    settings = {"realtime__cookie": _COOKIE, "realtime__allowed_origins": [_PAGE]}
    cookie = {"Cookie": f"{_COOKIE}={token()}"}
    with (
        server.client() as admin,
        gateway_on(server, **settings) as gateway,
        gateway.client() as client,
    ):
        for origin in ("https://evil.example", "null", f"{_PAGE}:8443", _PAGE.upper(), None):
            more = {"Origin": origin} if origin else {"Sec-Fetch-Site": "same-origin"}
            problem(client.post(_ISSUE, headers=cookie | more), 403, "forbidden")
        assert not admin.exists(_key("u1"))
        answer = client.post(_ISSUE, headers=cookie | {"Origin": _PAGE})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == _PAGE
        asked = client.options(_ISSUE, headers={"Origin": _PAGE})
        assert (asked.status_code, asked.headers["allow"]) == (204, "POST, OPTIONS")
        assert asked.headers["access-control-allow-origin"] == _PAGE
        asked = client.options(_ISSUE, headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in asked.headers


def test_redis__that_is_away_issues_and_redeems_nothing(own_server: Server) -> None:
    """Who asks is to ask again: a ticket is not taken for a wrong one."""
    with gateway_on(own_server) as gateway, gateway.client() as client:
        first, second = _issue(gateway), _issue(gateway)
        bearer = {"Authorization": f"Bearer {token()}"}
        own_server.kill()
        found = problem(client.post(_ISSUE, headers=bearer), 503, "unavailable")
        assert "ticket" in found["detail"]
        with _open(gateway, first) as stream:
            (bye,) = stream.rest()
            assert (stream.status, bye.kind, bye.data["reason"]) == (200, "bye", "shutdown")
        sent = handshake("u1", f"?ticket={first}", Authorization=None)
        with WebSocketClient(connect(gateway.url), sent) as websocket:
            assert websocket.expect("bye").data["reason"] == "shutdown"
        own_server.start()
        wait_until(lambda: client.get("/readyz").status_code == 200, "Redis is back")
        assert _status(gateway, _issue(gateway)) == 200
        assert _status(gateway, second) == 200


def test_foreign_key__in_place_of_the_tickets_concerns_its_user(
    gateway: GatewayProcess, user: str, admin: Any
) -> None:
    """Others get theirs; it is repaired by hand."""
    ticket = _issue(gateway, user)
    admin.set(_key(user), "x")
    with gateway.client() as client:
        bearer = {"Authorization": f"Bearer {token(user)}"}
        problem(client.post(_ISSUE, headers=bearer), 503, "unavailable")
    with _open(gateway, ticket) as stream:
        assert stream.rest()[-1].kind == "bye"
    assert _status(gateway, _issue(gateway, "another-user")) == 200
    admin.delete(_key(user))
    assert _status(gateway, _issue(gateway, user)) == 200


def test_tickets__count_as_connects(server: Server) -> None:
    """However often somebody asks, Redis is not kept busy; the answer says when to come back."""
    with gateway_on(server, realtime__connects_per_s=1) as gateway, gateway.client() as client:
        bearer = {"Authorization": f"Bearer {token()}"}
        answer = client.post(_ISSUE, headers=bearer)
        while answer.status_code == 200:  # until two are asked for within a second
            answer = client.post(_ISSUE, headers=bearer)
        problem(answer, 503, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        wait_until(lambda: client.post(_ISSUE, headers=bearer).status_code == 200, "it is let in")


def test_ticket__is_never_logged(server: Server) -> None:
    """Nor a cursor: not even at the lowest level, and whether it was valid or not."""
    with gateway_on(server, log__level="debug") as gateway:
        ticket = _issue(gateway)
        for sent in (ticket, ticket, ticket[:-1], "nonsense-ticket"):
            _status(gateway, sent)
        for path in (f"/nowhere?ticket={ticket}", f"{WEBSOCKET_PATH}?ticket={ticket}"):
            with StreamClient(connect(gateway.url), request(path)) as client:
                assert client.status >= 400
        gateway.wait_for("stream opened")
        log = gateway.log.read_text()
        for text in (ticket, ticket[:-1], ticket.rpartition(".")[2][:16], "nonsense-ticket"):
            assert text not in log
