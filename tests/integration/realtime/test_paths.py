"""The paths of a gateway process beside its streams, and who may ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import problem
from tests.support.gateways import GatewayProcess, Publisher, gateway_on, token
from tests.support.servers import Server
from tests.support.streams import PATH, StreamClient, connect, request

_PAGE = "https://app.example"
_COOKIE = "__Host-session"
#: A process that serves nobody needs no key.
_DELIVERING: dict[str, Any] = {
    "realtime__serve": False,
    "realtime__jwt_secret": None,
    "realtime__audience": None,
}


def test_probes__answer(gateway: GatewayProcess) -> None:
    """Life and readiness are two questions; HEAD has no body."""
    with gateway.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        ready = client.get("/readyz").json()
        assert (ready["status"], ready["write_ms"] > 0) == ("ok", True)
        for path in ("/healthz", "/readyz", "/metrics"):
            answer = client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
            assert client.post(path).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/me", "/v1/me/feed", "/v1/me/feed/counts", "/v1/me/preferences/x"),
        *("/client", "/client.js/", "/v1/me/push/key", "/", "/v1/me/stream/", "/v1//me/stream"),
        *("/v1/me/stream%00", "/docs", "/v1/status", "/%ff", "/V1/ME/STREAM"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_path__that_is_not_there_is_404(gateway: GatewayProcess, method: str, path: str) -> None:
    """What follows later answers as what never was."""
    with gateway.client() as client:
        problem(client.request(method, path), 404, "not-found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "PURGE"])
def test_method__that_is_not_there_is_405(gateway: GatewayProcess, method: str) -> None:
    """The answer names the methods that are."""
    with gateway.client() as client:
        answer = client.request(method, PATH)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, OPTIONS")


def test_metrics__count_what_happens(server: Server) -> None:
    """Only this machine reads them while there is no token, and no proxy may ask for others."""
    with server.client() as client, gateway_on(server) as gateway, gateway.open() as stream:
        stream.expect("hello")
        Publisher(client)("u1")
        stream.expect("notification")
        frames = gateway.metric("galaxy_notify_realtime_frames_total")
        assert {labels for labels in frames if "notification" in labels or "hello" in labels}
        with gateway.client() as other:
            for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
                problem(other.get("/metrics", headers={header: "127.0.0.1"}), 403, "forbidden")


def test_metrics__are_for_their_token(server: Server) -> None:
    """With a token of their own nothing else opens them, not even a user's."""
    with (
        gateway_on(server, realtime__metrics_token="scrape-me") as gateway,
        gateway.client() as client,
    ):
        for sent in ({}, {"Authorization": f"Bearer {token()}"}, {"Authorization": "Bearer x"}):
            problem(client.get("/metrics", headers=sent), 401, "unauthorized")
        proxied = {"Authorization": "Bearer scrape-me", "X-Forwarded-For": "10.0.0.1"}
        assert client.get("/metrics", headers=proxied).status_code == 200
        problem(client.get(PATH, headers=proxied), 401, "unauthorized")


def test_halves__can_be_switched_off(server: Server) -> None:
    """One process delivers, another serves; the first has no streams at all."""
    with (
        server.client() as client,
        gateway_on(server, realtime__consume=False) as serving,
        gateway_on(server, **_DELIVERING) as delivering,
    ):
        with serving.open() as stream:
            stream.expect("hello")
            Publisher(client)("u1")
            assert stream.expect("notification").data["offset"] == 1
        with delivering.client() as other:
            problem(other.get(PATH), 404, "not-found")
            assert other.get("/readyz").status_code == 200


def test_cookie__is_for_pages_that_may(server: Server) -> None:
    """The same token in a cookie needs a listed page, or one of the same host."""
    settings = {"realtime__cookie": _COOKIE, "realtime__allowed_origins": [_PAGE]}
    good = f"{_COOKIE}={token()}"
    with gateway_on(server, **settings) as gateway:
        for cookie, more, status in (
            (good, {"Origin": _PAGE}, 200),
            (good, {"Sec_Fetch_Site": "same-origin"}, 200),
            (f'theme={{"a": 1}}; {good}; x=1', {"Origin": _PAGE}, 200),
            (good, {}, 403),
            (good, {"Sec_Fetch_Site": "cross-site"}, 403),
            (good, {"Sec_Fetch_Site": "same-site"}, 403),
            (good, {"Origin": "https://evil.example"}, 403),
            (good, {"Origin": "null", "Sec_Fetch_Site": "same-origin"}, 403),
            (good, {"Origin": f"{_PAGE}.evil.example"}, 403),
            (f"{good}; {_COOKIE}={token('u2')}", {"Origin": _PAGE}, 401),
            (f"session={token()}", {"Origin": _PAGE}, 401),
            (f"{_COOKIE}=", {"Origin": _PAGE}, 401),
            (f"{_COOKIE}=nonsense", {"Origin": _PAGE}, 401),
        ):
            sent = request(Cookie=cookie, **more)
            with StreamClient(connect(gateway.url), sent) as client:
                assert client.status == status, (cookie, more)
                allowed = client.headers.get("access-control-allow-origin")
                assert allowed == (_PAGE if more.get("Origin") == _PAGE else None)


def test_cookie__is_nothing_unless_it_is_set(gateway: GatewayProcess) -> None:
    """Without the setting no cookie opens anything."""
    sent = request(Cookie=f"{_COOKIE}={token()}", Sec_Fetch_Site="same-origin")
    with StreamClient(connect(gateway.url), sent) as client:
        assert client.status == 401
