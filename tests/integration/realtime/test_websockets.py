"""Streams over WebSockets: the same messages as server-sent events, and the same ends."""

from __future__ import annotations

import json
import signal
import time

import pytest
from websockets.sync.client import connect as connect_websocket

from tests.support.gateways import GatewayProcess, Publisher, gateway_on, token
from tests.support.servers import Server
from tests.support.streams import StreamClient, connect
from tests.support.wait import wait_until
from tests.support.websockets import (
    ACCEPT,
    CLOSE,
    PATH,
    PING,
    PONG,
    WebSocketClient,
    frame,
    handshake,
    open_websocket,
)

_GOING_AWAY = 1001
_LARGE = "x" * 60_000


def test_messages__are_those_of_server_sent_events(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """Name, id and data are the same, whatever the text of an event is."""
    with gateway.open(user) as stream, open_websocket(gateway, user) as websocket:
        assert websocket.headers["sec-websocket-accept"] == ACCEPT.lower()
        assert "sec-websocket-extensions" not in websocket.headers
        frames = [stream.expect("hello")]
        found = [websocket.expect("hello")]
        for text in ("plain", 'a"b\n\u2028\0', "\U0001f600", "x" * 200, _LARGE * 2):
            publish(user, body=text)
            frames.append(stream.expect("notification"))
            found.append(websocket.expect("notification"))
        assert [(one.kind, one.id, one.data) for one in frames] == found
        assert found[-1].data["body"] == _LARGE * 2


def test_message__without_a_place_has_no_id(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """A reset names its cursor in the data; its id is null."""
    publish(user)
    with open_websocket(gateway, user, "?cursor=nonsense") as websocket:
        hello, reset = websocket.expect("hello"), websocket.expect("reset")
        assert hello.data["resumed"] is False
        assert (reset.id, reset.data) == (None, {"reason": "unknown", "cursor": hello.id})


def test_resume__goes_on_behind_the_cursor(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """Whatever way the client had before, also of server-sent events."""
    with gateway.open(user) as stream:
        stream.expect("hello")
        publish(user)
        cursor = stream.expect("notification").id
    numbers = publish(user, user)
    with open_websocket(gateway, user, f"?cursor={cursor}") as websocket:
        hello = websocket.expect("hello")
        assert (hello.id, hello.data["resumed"]) == (cursor, True)
        found = [websocket.expect("notification").data["data"]["number"] for _ in numbers]
        assert sorted(found) == numbers  # They are on two shards, which are read side by side.
        numbers = publish(user)
        assert websocket.expect("notification").data["data"]["number"] == numbers[0]


def test_common_client__is_served_without_an_extension(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """It offers compression, sends pings, and closes in good order."""
    url = gateway.url.replace("http", "ws") + PATH
    allowed = {"Authorization": f"Bearer {token(user)}"}
    with connect_websocket(url, additional_headers=allowed, proxy=None) as client:
        assert client.protocol.extensions == []
        assert json.loads(client.recv())["event"] == "hello"
        assert client.ping("are you there").wait(60)
        publish(user)
        assert json.loads(client.recv())["event"] == "notification"
        client.close(1000, "enough")
        assert client.close_code == 1000
        assert client.close_reason == "enough"
    with gateway.server.client() as redis:
        pattern = f"*:presence:{user}"
        wait_until(lambda: not redis.keys(pattern), "the presence of the user has ended")


def test_ping__is_answered_with_its_data(gateway: GatewayProcess, user: str) -> None:
    """However small the pieces are in which it comes."""
    with open_websocket(gateway, user) as websocket:
        websocket.expect("hello")
        for byte in frame(PING, b"one") + frame(PING, b"two"):
            websocket.send(bytes([byte]))
        assert websocket.frame() == (PONG, b"one")
        assert websocket.frame() == (PONG, b"two")
        websocket.send(frame(PONG, b"that nobody asked for"), frame(PING, b"x" * 125))
        assert websocket.frame() == (PONG, b"x" * 125)


def test_idle_client__is_pinged(server: Server) -> None:
    """Its answer is taken for what it is."""
    with gateway_on(server, realtime__ping_ms=1000) as gateway, open_websocket(gateway) as client:
        client.expect("hello")
        for _ in range(2):
            assert client.frame() == (PING, b"")
            client.send(frame(PONG))


@pytest.mark.parametrize("data", [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0own code"])
def test_close_of_the_client__is_answered(gateway: GatewayProcess, user: str, data: bytes) -> None:
    """With the same code; then the connection ends."""
    with open_websocket(gateway, user) as websocket:
        websocket.expect("hello")
        websocket.send(frame(CLOSE, data))
        assert websocket.frame() == (CLOSE, data)
        assert websocket.frame() is None


def test_streams__of_both_kinds_share_their_limits(server: Server) -> None:
    """The oldest stream of a user ends, and one who is too many is sent away, with a message."""
    settings = {"realtime__streams_per_user": 1, "realtime__max_connections": 2}
    with gateway_on(server, **settings) as gateway, gateway.open() as stream:
        stream.expect("hello")
        with open_websocket(gateway) as websocket:
            websocket.expect("hello")
            assert stream.expect("bye").data["reason"] == "too_many"
            stream.rest()
            with gateway.open("u2") as other:
                other.expect("hello")
                with open_websocket(gateway, "u3") as third:
                    bye = third.expect("bye").data
                    assert (bye["reason"], bye["retry_ms"] >= 20_000) == ("too_many", True)
                    assert third.ends_with() == _GOING_AWAY
            with gateway.open() as newest:
                newest.expect("hello")
                assert websocket.expect("bye").data["reason"] == "too_many"
                assert websocket.ends_with() == _GOING_AWAY


def test_rotation_and_stop__are_announced(server: Server) -> None:
    """Both say when to come back, and close the WebSocket in good order."""
    rotating = gateway_on(server, realtime__max_age_ms=1000)
    with rotating as gateway, open_websocket(gateway) as websocket:
        bye = websocket.until("bye")[-1]
        assert (bye.id, bye.data["reason"]) == (None, "rotate")
        assert 50 <= bye.data["retry_ms"] <= 500
        assert websocket.ends_with() == _GOING_AWAY
    with gateway_on(server, realtime__drain_ms=500) as gateway:
        with open_websocket(gateway) as websocket:
            websocket.expect("hello")
            gateway.signal(signal.SIGTERM)
            assert websocket.expect("bye").data["reason"] == "shutdown"
            assert websocket.ends_with() == _GOING_AWAY
        assert gateway.ended() == 0


def test_token__that_expires_ends_the_websocket(server: Server) -> None:
    """A new handshake with it is refused."""
    with gateway_on(server, realtime__jwt_leeway_ms=0) as gateway:
        websocket, bearer = _until_open(gateway)
        with websocket:
            assert websocket.until("bye")[-1].data["reason"] == "expired"
            assert websocket.ends_with() == _GOING_AWAY
        with StreamClient(connect(gateway.url), handshake(Authorization=bearer)) as again:
            assert again.status == 401


def _until_open(gateway: GatewayProcess) -> tuple[WebSocketClient, str]:
    """Open a WebSocket with a token of seconds, which may have expired before it is used."""
    while True:
        bearer = f"Bearer {token(exp=time.time() + 3)}"
        client = WebSocketClient(connect(gateway.url), handshake(Authorization=bearer))
        if client.status == 101:
            return client, bearer
        client.close()


def test_slow_client__is_cut_off_alone(server: Server) -> None:
    """It reads what was sent, the reason, and the close; it resumes behind what it read."""
    with server.client() as redis, gateway_on(server) as gateway:
        publish = Publisher(redis)
        peer = connect(gateway.url, receive_bytes=4096)
        with gateway.follower() as follower, WebSocketClient(peer, handshake()) as slow:
            follower.connect()
            # In few steps: who has read nothing for half a minute is dropped without a word.
            for _ in range(12):
                (number,) = publish("u1", body=_LARGE * 10)
                follower.follow(number)
            found = slow.until("bye")
            assert found[-1].data["reason"] == "slow"
            assert slow.ends_with() == _GOING_AWAY
            shown = [one for one in found if one.kind == "notification"]
            offsets = [one.data["offset"] for one in shown]
            assert offsets == list(range(1, len(offsets) + 1))
            with open_websocket(gateway, query=f"?cursor={shown[-1].id}") as again:
                assert again.expect("hello").data["resumed"] is True
                assert again.expect("notification").data["offset"] == offsets[-1] + 1


def test_outage_of_redis__is_reported(own_server: Server) -> None:
    """The WebSocket stays; what came meanwhile follows."""
    with own_server.client() as redis, gateway_on(own_server) as gateway:
        publish = Publisher(redis)
        with open_websocket(gateway) as websocket:
            websocket.expect("hello")
            own_server.kill()
            status = websocket.expect("status")
            assert (status.id, status.data) == (None, {"live": False})
            own_server.start()
            assert websocket.expect("status").data == {"live": True}
            publish("u1")
            websocket.until("notification")
