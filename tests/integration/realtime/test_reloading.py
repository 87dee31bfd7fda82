"""SIGHUP: keys and origins are taken again, streams stay."""

from __future__ import annotations

import signal
from typing import Any

from tests.support.gateways import GatewayProcess, Publisher, gateway_on, token
from tests.support.servers import Server
from tests.support.streams import PATH
from tests.support.wait import wait_until

_NEW = "another secret of users, which is long enough"


def _status(gateway: GatewayProcess, secret: str, **headers: str) -> int:
    sent = {"Authorization": f"Bearer {token(secret=secret)}", **headers}
    with gateway.client() as client, client.stream("GET", PATH, headers=sent) as answer:
        return answer.status_code


def _reload(gateway: GatewayProcess, event: str, **changed: Any) -> dict[str, Any]:
    before = len(gateway.lines(event))
    gateway.write_config(**changed)
    gateway.signal(signal.SIGHUP)
    return wait_until(lambda: gateway.lines(event)[before:], event)[0]


def test_reload__takes_a_new_key(server: Server) -> None:
    """Old tokens are refused from then on; streams that are open stay until they end."""
    with server.client() as client, gateway_on(server) as gateway, gateway.open() as stream:
        stream.expect("hello")
        line = _reload(gateway, "settings reloaded", realtime__jwt_secret=_NEW)
        assert line["restart_needed_for"] == []
        assert _status(gateway, _NEW) == 200
        assert _status(gateway, "a secret of users, which is long enough") == 401
        Publisher(client)("u1")
        assert stream.expect("notification").data["offset"] == 1


def test_reload__of_broken_settings_changes_nothing(server: Server) -> None:
    """One line says what is wrong; tokens are taken as before."""
    broken: list[dict[str, Any]] = [
        {"realtime__jwt_secret": "short"},
        {"realtime__jwt_key": "/nowhere/key.pem"},
        {"realtime__unknown": 1},
        {"realtime__allowed_origins": ["not an origin"]},
    ]
    with gateway_on(server) as gateway:
        usual = dict(gateway.settings)
        for changed in broken:
            gateway.settings = dict(usual)
            line = _reload(gateway, "settings reload failed", **changed)
            assert "realtime" in line["reason"]
            assert _status(gateway, "a secret of users, which is long enough") == 200
        gateway.config.unlink()
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: len(gateway.lines("settings reload failed")) == 5, "the fifth line")
        assert len(gateway.lines("settings reloaded")) == 0


def test_reload__names_what_takes_a_restart(server: Server) -> None:
    """What cannot change while it runs stays as it is, and is named."""
    with gateway_on(server) as gateway:
        line = _reload(
            gateway, "settings reloaded", realtime__serve=False, realtime__streams_per_user=7
        )
        assert line["restart_needed_for"] == ["realtime.serve", "realtime.streams_per_user"]
        assert _status(gateway, "a secret of users, which is long enough") == 200


def test_reload__takes_new_origins(server: Server) -> None:
    """Pages of an origin may read the answers once it is listed, and no longer once it is not."""
    page = {"Origin": "https://app.example"}
    with gateway_on(server) as gateway, gateway.client() as client:

        def allowed() -> object:
            answer = client.options(PATH, headers=page)
            return answer.headers.get("access-control-allow-origin")

        assert allowed() is None
        _reload(gateway, "settings reloaded", realtime__allowed_origins=[page["Origin"]])
        assert allowed() == page["Origin"]
        _reload(gateway, "settings reloaded", realtime__allowed_origins=[])
        assert allowed() is None
