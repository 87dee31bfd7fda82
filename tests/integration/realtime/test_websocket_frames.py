"""WebSockets of clients that break the rules: each ends alone, with the code that says why."""

from __future__ import annotations

import re
import socket
import struct
from contextlib import suppress
from typing import Any

import pytest

from tests.support.gateways import GatewayProcess, Publisher, token
from tests.support.streams import StreamClient, connect, request
from tests.support.wait import wait_until
from tests.support.websockets import (
    BINARY,
    CLOSE,
    HANDSHAKE,
    PATH,
    PING,
    PONG,
    TEXT,
    frame,
    handshake,
    open_websocket,
    random_key,
)

_PROTOCOL, _DATA, _POLICY, _SIZE = 1002, 1007, 1008, 1009
_CONTINUED = 0


def _claiming(size: int) -> bytes:
    """Return the head of a frame that claims a size."""
    return struct.pack("!BBQ", 0x80 | TEXT, 0x80 | 127, size) + b"mask"


_BROKEN = {
    "text": (frame(TEXT, b'{"read":{"all":true}}'), _POLICY),
    "empty text": (frame(TEXT), _POLICY),
    "binary": (frame(BINARY, b"\0" * 300), _POLICY),
    "first part of a text": (frame(TEXT, b"a", first=0), _POLICY),
    "text in parts": (
        frame(TEXT, b"a", first=0) + frame(PING) + frame(_CONTINUED, b"b"),
        _POLICY,
    ),
    "text and a close": (frame(TEXT, b"a") + frame(CLOSE, b"\x03\xe8"), None),
    "continuation of nothing": (frame(_CONTINUED, b"b"), _PROTOCOL),
    "not masked": (frame(PING, b"a", mask=False), _PROTOCOL),
    "text that is not masked": (frame(TEXT, b"a", mask=False), _PROTOCOL),
    "larger than any message": (_claiming(65_537), _SIZE),
    "larger than memory": (_claiming((1 << 63) - 1), _SIZE),
    "compressed": (frame(TEXT, b"a", first=0xC0), _PROTOCOL),
    "reserved bits": (frame(PING, first=0xB0), _PROTOCOL),
    "reserved opcode": (frame(3, b"a"), _PROTOCOL),
    "reserved control opcode": (frame(11, b"a"), _PROTOCOL),
    "ping in parts": (frame(PING, b"a", first=0), _PROTOCOL),
    "long ping": (frame(PING, b"x" * 126), _PROTOCOL),
    "close of one byte": (frame(CLOSE, b"\x03"), _PROTOCOL),
    "close with a code that nobody sends": (frame(CLOSE, b"\x03\xed"), _PROTOCOL),
    "close with text that is none": (frame(CLOSE, b"\x03\xe8\xff"), _DATA),
    "another request": (request(PATH), _PROTOCOL),
    "zeros": (b"\0" * 4096, _PROTOCOL),
    "ones": (b"\xff" * 4096, _PROTOCOL),
    "a flood of pings": (frame(PING) * 2000, _POLICY),
    "a flood of pongs": (frame(PONG) * 2000, _POLICY),
}


@pytest.mark.parametrize("what", _BROKEN)
def test_frame__that_may_not_be_ends_its_websocket(
    gateway: GatewayProcess, publish: Publisher, user: str, what: str
) -> None:
    """Other streams of the same user go on."""
    sent, code = _BROKEN[what]
    with gateway.open(user) as other, open_websocket(gateway, user) as websocket:
        other.expect("hello")
        websocket.expect("hello")
        websocket.send(sent)
        while (found := websocket.frame()) is not None and found[0] == PONG:
            pass
        assert found is not None
        assert found[0] == CLOSE
        assert code is None or int.from_bytes(found[1][:2], "big") == code
        websocket.is_over()
        publish(user)
        other.expect("notification")


def test_client__that_leaves_in_the_middle_of_a_frame_is_forgotten(
    gateway: GatewayProcess, user: str
) -> None:
    """By a close of its side, or of both, without a word."""
    for leaves_half in (True, False):
        with open_websocket(gateway, user) as websocket:
            websocket.expect("hello")
            websocket.send(frame(TEXT, b"x" * 1000)[:500])
            if leaves_half:
                websocket.peer.shutdown(socket.SHUT_WR)
            else:
                websocket.close()
            _until_gone(gateway, user)


def test_client__that_reads_no_answer_is_read_no_further(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """Its pings wait in its own buffers, not in the memory of the process; others are served."""
    with gateway.open(user) as other, open_websocket(gateway, user) as websocket:
        other.expect("hello")
        peer = websocket.peer
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        pings = frame(PING, b"x" * 125) * 4
        sent = 0
        peer.settimeout(2)
        with suppress(TimeoutError):
            while sent < 1 << 26:
                sent += peer.send(pings)
        publish(user)
        other.expect("notification")
        assert sent < 1 << 26


_HEAD = HANDSHAKE | {"Authorization": f"Bearer {token('refused')}"}
_REFUSED: dict[str, tuple[dict[str, Any], int, dict[str, str]]] = {
    "no upgrade": ({"Upgrade": None}, 426, {"upgrade": "websocket", "connection": "upgrade"}),
    "another protocol": ({"Upgrade": "h2c"}, 426, {"upgrade": "websocket"}),
    "a longer name": ({"Upgrade": "websocketx"}, 426, {"upgrade": "websocket"}),
    "no connection": ({"Connection": None}, 426, {"upgrade": "websocket"}),
    "another token": ({"Connection": "keep-alive"}, 426, {"upgrade": "websocket"}),
    "no version": ({"Sec_WebSocket_Version": None}, 426, {"sec-websocket-version": "13"}),
    "old version": ({"Sec_WebSocket_Version": "8"}, 426, {"sec-websocket-version": "13"}),
    "no key": ({"Sec_WebSocket_Key": None}, 400, {}),
    "short key": ({"Sec_WebSocket_Key": "YWJj"}, 400, {}),
    "long key": ({"Sec_WebSocket_Key": "A" * 40}, 400, {}),
    "key in no alphabet": ({"Sec_WebSocket_Key": "!" * 24}, 400, {}),
    "no token": ({"Authorization": None}, 401, {}),
    "bad token": ({"Authorization": "Bearer x"}, 401, {}),
    "bad ticket": ({"Authorization": None, "query": "?ticket=x"}, 401, {}),
}


@pytest.mark.parametrize("what", _REFUSED)
def test_handshake__that_is_wrong_is_a_problem(gateway: GatewayProcess, what: str) -> None:
    """The connection can go on with another request."""
    changed, status, headers = _REFUSED[what]
    peer = connect(gateway.url)
    with StreamClient(peer, handshake("refused", **changed)) as client:
        assert client.status == status, client.body
        assert client.headers["content-type"] == "application/problem+json"
        assert headers.items() <= client.headers.items()
        client.rest()
        again = StreamClient(peer, request("/healthz"))
        assert again.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_handshake__is_a_get(gateway: GatewayProcess, method: str) -> None:
    """Another method is 405, as on any path."""
    with StreamClient(connect(gateway.url), request(PATH, method, **HANDSHAKE)) as client:
        assert (client.status, client.headers["allow"]) == (405, "get, options")


def test_handshake__of_an_older_http_is_refused(gateway: GatewayProcess, user: str) -> None:
    """HTTP/1.0 has no upgrades, whatever its headers say."""
    sent = handshake(user).replace(b"HTTP/1.1", b"HTTP/1.0")
    with StreamClient(connect(gateway.url), sent) as client:
        assert client.status == 426


@pytest.mark.parametrize("name", [b"Sec-WebSocket-Key", b"Sec-WebSocket-Version"])
def test_handshake__says_everything_once(gateway: GatewayProcess, user: str, name: bytes) -> None:
    """With two values it is unclear which one is meant."""
    (line,) = re.findall(rb"(?im)^%s: .*\r\n" % name, handshake(user))
    sent = handshake(user).replace(line, 2 * line)
    with StreamClient(connect(gateway.url), sent) as client:
        assert client.status == 400


def test_handshake__takes_any_case_and_other_offers(gateway: GatewayProcess, user: str) -> None:
    """Names of protocols and tokens are read as HTTP has them."""
    more = {"Sec_WebSocket_Extensions": "permessage-deflate", "Sec_WebSocket_Key": random_key()}
    offers = {"Upgrade": "h2c, WebSocket", "Connection": "foo,UPGRADE"}
    with open_websocket(gateway, user, **more, **offers) as websocket:
        assert "sec-websocket-extensions" not in websocket.headers
        websocket.expect("hello")


def test_handshake__behind_another_request_is_served(gateway: GatewayProcess, user: str) -> None:
    """Both came in one piece; the first is answered first."""
    with connect(gateway.url) as peer:
        peer.sendall(request("/healthz") + handshake(user))
        # What comes in one piece, and what in several, is up to both ends.
        text = b""
        while b'"hello"' not in text:
            text += (received := peer.recv(1 << 16))
            assert received
        assert text.startswith(b"HTTP/1.1 200 ")
        assert text.count(b"HTTP/1.1 101 ") == 1


def test_offer__on_another_path_changes_nothing(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """A stream of server-sent events stays one."""
    sent = handshake(user).replace(PATH.encode(), b"/v1/me/stream")
    with StreamClient(connect(gateway.url), sent) as client:
        assert (client.status, client.headers["connection"]) == (200, "close")
        client.expect("hello")
        publish(user)
        client.expect("notification")


def _until_gone(gateway: GatewayProcess, user: str) -> None:
    with gateway.server.client() as redis:
        wait_until(lambda: not redis.keys(f"*:presence:{user}"), "nobody of the user is there")
