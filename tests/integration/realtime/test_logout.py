"""``users logout``: streams end at once everywhere, and earlier tokens open no new ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgpack
import pytest

from tests.support.command import CommandLine, command_for
from tests.support.gateways import (
    KEY_SPACE,
    GatewayProcess,
    Publisher,
    gateway_on,
    gateways_on,
    token,
)
from tests.support.servers import Server
from tests.support.streams import PATH, StreamClient, connect, request
from tests.support.wait import wait_until
from tests.support.websockets import WebSocketClient, handshake, open_websocket

_GOING_AWAY = 1001
_USER = "u1"
_UNREADABLE: list[Any] = [[["u1", 1, 2]], [[1, 1]], [["u1", "1"]], [["u1", True]], {}, 1, ["u1"]]


@pytest.fixture
def admin(server: Server) -> Iterator[Any]:
    """Give a client of the server."""
    with server.client() as client:
        yield client


@pytest.fixture
def command(server: Server) -> CommandLine:
    """Give the command line of the deployment."""
    return command_for(server, WORKER__SHARDS="2")


def _ticket(gateway: GatewayProcess, bearer: str) -> str:
    with gateway.client() as client:
        answer = client.post("/v1/me/tickets", headers={"Authorization": f"Bearer {bearer}"})
        return str(answer.json()["ticket"])


def _first(gateway: GatewayProcess, path: str = PATH, bearer: str = "") -> tuple[int, str, Any]:
    """Return the status, the kind, and the data of the first message of a stream."""
    more = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    with StreamClient(connect(gateway.url), request(path, **more)) as client:
        if client.status != 200:
            return client.status, "", None
        frame = client.frame()
        return client.status, frame.kind, frame.data


def test_logout__ends_all_streams_of_the_user_at_once(
    server: Server, admin: Any, command: CommandLine
) -> None:
    """On every gateway, of whatever kind; those of others go on."""
    with gateways_on(server, 2) as (one, two), ExitStack() as stack:
        publish = Publisher(admin)
        streams = [stack.enter_context(gateway.open()) for gateway in (one, two)]
        websockets = [stack.enter_context(open_websocket(gateway)) for gateway in (one, two)]
        other = stack.enter_context(two.open("u2"))
        for stream in (*streams, other):
            stream.expect("hello")
        for websocket in websockets:
            websocket.expect("hello")
        told = command.told("users", "logout", _USER)
        assert told == {"user": _USER, "instances": 2, "informed": 2}
        for stream in streams:
            (bye,) = stream.rest()
            assert (bye.kind, bye.data["reason"]) == ("bye", "logout")
            assert bye.retry_ms == bye.data["retry_ms"] >= 1000
        for websocket in websockets:
            assert websocket.expect("bye").data["reason"] == "logout"
            assert websocket.ends_with() == _GOING_AWAY
        publish("u2")
        other.expect("notification")
        presence = KEY_SPACE.keys_of_user(_USER).presence(_USER)
        wait_until(lambda: not admin.exists(presence), "the presence has ended")
        shown = command.run("users", "logout", _USER)
        assert (shown.exit_code, shown.stdout) == (0, "u1 logged out; connected to no gateway\n")


def test_logout__voids_what_was_issued_before(
    server: Server, admin: Any, command: CommandLine
) -> None:
    """Tokens and tickets, whenever they are used; what is issued later is valid."""
    with gateway_on(server) as gateway:
        old, before = token(_USER), time.time() - 1
        unused = _ticket(gateway, old)
        assert command.run("users", "logout", _USER).exit_code == 0
        kept_ms = admin.pttl(KEY_SPACE.keys_of_user(_USER).logout(_USER))
        assert 4_100_000 < kept_ms <= 4_200_000
        assert _first(gateway, f"{PATH}?ticket={unused}")[0] == 401
        later = _ticket(gateway, old)
        for path, bearer in (
            (PATH, old),
            (f"{PATH}?ticket={later}", ""),
            (f"{PATH}?cursor=x", old),
        ):
            status, kind, data = _first(gateway, path, bearer)
            assert (status, kind, data["reason"]) == (200, "bye", "logout")
        sent = handshake(Authorization=f"Bearer {old}")
        with WebSocketClient(connect(gateway.url), sent) as websocket:
            assert websocket.expect("bye").data["reason"] == "logout"
        assert _first(gateway, bearer=token(_USER, iat=before))[1] == "bye"
        assert _first(gateway, bearer=token("u2", iat=before))[1] == "hello"
        new = token(_USER)
        assert _first(gateway, bearer=new)[1] == "hello"
        assert _first(gateway, f"{PATH}?ticket={_ticket(gateway, new)}")[1] == "hello"


def test_logout__leaves_streams_of_later_tokens(
    server: Server, admin: Any, command: CommandLine
) -> None:
    """Whoever has logged in since is not meant; the next logout is theirs."""
    key = KEY_SPACE.keys_of_user(_USER).presence(_USER)
    with gateway_on(server, realtime__presence_ttl_ms=3000) as gateway:
        command.run("users", "logout", _USER)
        with gateway.open() as stream:
            stream.expect("hello")
            # Each renewal of the presence reads the mark again.
            for _ in range(2):
                _until_renewed(admin, key)
            Publisher(admin)(_USER)
            stream.expect("notification")
            command.run("users", "logout", _USER)
            assert stream.expect("bye").data["reason"] == "logout"


def _until_renewed(admin: Any, key: str) -> None:
    before = admin.zrange(key, 0, -1, withscores=True)
    wait_until(lambda: admin.zrange(key, 0, -1, withscores=True) != before, "it is renewed")


def test_logout__that_was_not_told_is_noticed(
    server: Server, admin: Any, command: CommandLine
) -> None:
    """By the next renewal of the presence: the inbox is gone, or its entry cannot be read."""
    # The presence is there while the gateway stands still for a moment: it is renewed each 3 s.
    with gateway_on(server, realtime__presence_ttl_ms=9000) as gateway, gateway.open() as stream:
        stream.expect("hello")
        inboxes = admin.keys("*:inbox")
        assert len(inboxes) == 1
        admin.rename(inboxes[0], "{x}:elsewhere")
        told = command.told("users", "logout", _USER)
        assert told["instances"] == 1
        assert told["informed"] <= 1
        assert stream.until("bye")[-1].data["reason"] == "logout"
        assert gateway.process.poll() is None


def test_logout__by_a_hand_that_writes_nonsense_ends_nothing(server: Server, admin: Any) -> None:
    """What is no time is no logout; the key may even be of another type."""
    with gateway_on(server) as gateway:
        key = KEY_SPACE.keys_of_user(_USER).logout(_USER)
        for value in ("", "x", "-1", "1e99", "9" * 5000):
            admin.set(key, value)
            assert _first(gateway, bearer=token())[1] == "hello"
        admin.delete(key)
        admin.rpush(key, "x")
        assert _first(gateway, bearer=token())[1] == "hello"
        admin.delete(key)
        admin.set(key, str(10**14))
        assert _first(gateway, bearer=token())[1] == "bye"


def test_logout__of_an_unreadable_inbox_entry(server: Server, admin: Any) -> None:
    """It is logged, and costs nobody a stream."""
    with gateway_on(server) as gateway, gateway.open() as stream:
        stream.expect("hello")
        (inbox,) = admin.keys("*:inbox")
        for packed in (b"", b"\xc1", b"\x91\x92\xa2u1", *map(msgpack.packb, _UNREADABLE)):
            admin.xadd(inbox, {"logouts": packed})
        gateway.wait_for("unreadable entries in the inbox")
        Publisher(admin)(_USER)
        stream.expect("notification")
