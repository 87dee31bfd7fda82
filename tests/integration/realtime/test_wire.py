"""What a gateway process sends over a socket, byte by byte as the contract has it."""

from __future__ import annotations

import pytest

from tests.support.events import event_id, notification_id
from tests.support.gateways import (
    KEY_SPACE,
    GatewayProcess,
    Publisher,
    authorized,
    gateway_on,
)
from tests.support.servers import Server
from tests.support.streams import PATH, StreamClient, connect


def test_stream__has_the_messages_of_the_contract(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """Head, hello and notification have the fields that clients rely on, and no others."""
    with gateway.open(user) as client:
        assert client.status == 200
        assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert client.headers["cache-control"] == "no-store, no-transform"
        assert client.headers["x-accel-buffering"] == "no"
        first = client.expect("hello")
        assert first.data == {"cursor": "0.0.0", "resumed": False, "counts": None}
        assert (first.id, first.retry_ms is not None) == ("0.0.0", True)
        (number,) = publish(user)
        frame = client.expect("notification")
        assert frame.data == {
            "notification_id": notification_id(number),
            "event_id": event_id(number, user),
            "type": "game.ready",
            "severity": "info",
            "title": "",
            "body": "",
            "data": {"number": number},
            "created_at_ms": 1_900_000_000_000,
            "offset": 1,
        }
        epoch, offset, check = frame.id.split(".")
        assert (offset, len(check), bool(epoch)) == ("1", 4, True)


@pytest.mark.parametrize("way", ["header", "query"])
def test_resume__is_without_gap_and_repeat(
    gateway: GatewayProcess, publish: Publisher, user: str, way: str
) -> None:
    """The hello of a resume has the client's own cursor; what was missed follows, then the new."""
    with gateway.open(user) as client:
        client.expect("hello")
        publish(*[user] * 3)
        cursor = client.until("notification")[-1].id
    publish(*[user] * 40)
    by_query = {"path": f"{PATH}?cursor={cursor}"} if way == "query" else {"cursor": cursor}
    with gateway.open(user, **by_query) as client:
        first = client.expect("hello")
        assert (first.id, first.data["cursor"], first.data["resumed"]) == (cursor, cursor, True)
        publish(user)
        frames = [client.expect("notification") for _ in range(43)]
        assert [frame.data["offset"] for frame in frames] == list(range(2, 45))


def test_cursor__of_the_header_goes_before_that_of_the_query(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """An EventSource keeps its address and sends the newer cursor as a header."""
    with gateway.open(user) as client:
        client.expect("hello")
        publish(user, user)
        old, new = (client.until("notification")[-1].id for _ in range(2))
    with gateway.open(user, path=f"{PATH}?cursor={old}", cursor=new) as client:
        assert client.expect("hello").id == new


def test_client__that_never_had_an_event_misses_none(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """Who left before the first event of the user begins with offset 1."""
    with gateway.open(user) as client:
        cursor = client.expect("hello").id
    publish(user, user)
    with gateway.open(user, cursor) as client:
        assert client.expect("hello").data == {"cursor": cursor, "resumed": True, "counts": None}
        assert [client.expect("notification").data["offset"] for _ in range(2)] == [1, 2]


@pytest.mark.parametrize(
    "cursor",
    [
        "other.1.abcd",
        "nonsense",
        "x" * 10_000,
        "0.1.0",
        "e.999999999999999.ffff",
        "e.1000000000000000.ffff",
        "\xe4.1.abcd",
        "e.-1.abcd",
        "e.1.ABCD",
    ],
)
def test_cursor__that_is_forged_is_a_reset(
    gateway: GatewayProcess, publish: Publisher, user: str, cursor: str
) -> None:
    """What names no place in the user's list begins at the top, after a word about it."""
    with gateway.open(user) as client:
        client.expect("hello")
        publish(user)
        top = client.until("notification")[-1].id
    with gateway.open(user, cursor) as client:
        first, second = client.expect("hello"), client.expect("reset")
        assert (first.id, first.data["resumed"], first.data["cursor"]) == (top, False, top)
        assert second.data == {"reason": "unknown", "cursor": top}
        assert second.id == top
        publish(user)
        assert client.expect("notification").data["offset"] == 2


def test_cursor__of_another_user_shows_nothing_of_theirs(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """A cursor is a place, no right: the user comes from the token."""
    other = f"other-than-{user}"
    with gateway.open(user) as client, gateway.open(other) as foreign:
        client.expect("hello")
        foreign.expect("hello")
        publish(other, other, user)
        cursor = foreign.until("notification")[-1].id
        client.until("notification")
    with gateway.open(user, cursor) as client:
        assert [client.frame().kind for _ in range(2)] == ["hello", "reset"]
        publish(other, user)
        frame = client.expect("notification")
        assert (frame.data["offset"], frame.data["event_id"]) == (2, event_id(publish.last, user))


def test_cursor__that_cannot_be_resumed_is_a_reset(server: Server) -> None:
    """Never part of what was missed: the reason, then what is new."""
    with server.client() as client, gateway_on(server, realtime__history=4) as gateway:
        publish = Publisher(client)
        with gateway.open() as stream:
            stream.expect("hello")
            cursors = []
            for _ in range(6):
                publish("u1")
                cursors.append(stream.expect("notification").id)
        epoch, _, check = cursors[-1].split(".")
        # Pairs: an id and its event.
        client.ltrim(KEY_SPACE.keys_of_user("u1").recent("u1"), -4, -1)
        for cursor, reason in (
            (cursors[0], "too_many"),
            (cursors[2], "trimmed"),
            (f"{epoch}.6.{'0' * 4 if check != '0' * 4 else '1' * 4}", "rolled_back"),
            (f"{epoch}.9.{check}", "rolled_back"),
            ("other.6.abcd", "unknown"),
        ):
            with gateway.open("u1", cursor) as stream:
                assert stream.expect("hello").id == cursors[-1]
                assert stream.expect("reset").data == {"reason": reason, "cursor": cursors[-1]}


def test_keep_alive__is_a_comment(server: Server) -> None:
    """A client that hears nothing for a while hears that."""
    with gateway_on(server, realtime__ping_ms=1000) as gateway, gateway.open() as client:
        client.expect("hello")
        client.comment()
        client.comment()


def test_streams__of_one_user_get_the_same(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """Two connections of one user have equal events; another user has none of them."""
    other = f"other-than-{user}"
    with gateway.open(user) as one, gateway.open(user) as two, gateway.open(other) as three:
        assert {client.expect("hello").id for client in (one, two, three)} == {"0.0.0"}
        publish(user, other)
        # All but the time after which each is to connect again.
        assert one.expect("notification")[:3] == two.expect("notification")[:3]
        found = three.expect("notification").data
        assert found["event_id"] == event_id(publish.last, other)


def test_http_1_0__ends_with_the_connection(
    gateway: GatewayProcess, publish: Publisher, user: str
) -> None:
    """A reader of HTTP/1.0 does not know chunks: none are sent, and the end is the close."""
    sent = authorized(user).replace(b"HTTP/1.1", b"HTTP/1.0")
    with StreamClient(connect(gateway.url), sent) as client:
        assert client.status == 200
        assert "transfer-encoding" not in client.headers
        assert client.headers["connection"] == "close"
        client.expect("hello")
        publish(user)
        assert client.expect("notification").data["offset"] == 1
