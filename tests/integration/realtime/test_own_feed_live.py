"""One's own feed in several tabs: what is done in one is seen in all, by either transport."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.feed_store import new_id
from tests.support.feeds import drift, feed_on, publish
from tests.support.own_feeds import FeedGateways, OwnFeed, feed_gateways
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.streams import StreamClient
from tests.support.wait import wait_until
from tests.support.websockets import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Said,
    WebSocketClient,
    frame,
    open_websocket,
)

#: Of no notification. The same in each process, as the names of tests are.
UNKNOWN = b"f" * 32
_CONTINUED = 0


def _say(websocket: WebSocketClient, message: Any) -> None:
    websocket.send(frame(TEXT, json.dumps(message).encode()))


@pytest.fixture
def websocket(feed_places: FeedGateways, user: str) -> Iterator[WebSocketClient]:
    """Give a WebSocket of the user, which has been greeted."""
    with open_websocket(feed_places.gateways[1], user) as client:
        _greeted(client)
        yield client


def _greeted(client: StreamClient | WebSocketClient) -> Any:
    """Read the greeting, and the counts with it or behind it; return them."""
    return client.expect("hello").data["counts"] or client.expect("counts").data


def test_mark__is_seen_in_all_tabs(feed_places: FeedGateways, own: OwnFeed) -> None:
    """On each gateway, by each transport, whichever of them it came by; nobody else sees it."""
    ids = feed_places.publish(own.user, 3)
    with ExitStack() as stack:
        one, two = feed_places.gateways
        stranger = stack.enter_context(two.open(f"not-{own.user}"))
        streams = [stack.enter_context(place.open(own.user)) for place in (one, two)]
        websockets = [stack.enter_context(open_websocket(place, own.user)) for place in (one, two)]
        tabs: list[Any] = [*streams, *websockets]
        for tab in (*tabs, stranger):
            _greeted(tab)
        own.mark("read", ids[0])
        for tab in tabs:
            assert tab.expect("counts").data == own.counts()
        _say(websockets[1], {"seen": {"ids": ids}})
        for tab in tabs:
            found = tab.expect("counts").data
            assert (found["unread"], found["unseen"]) == (2, 0)
        _say(websockets[0], {"read": {"all": True, "until": ids[2]}})
        for tab in tabs:
            assert tab.expect("counts").data["unread"] == 1
        feed_places.publish(f"not-{own.user}")
        kinds = {frame.kind for frame in stranger.until("notification")}
        assert kinds <= {"counts", "notification", "status"}
    with one.open(own.user) as stream:
        assert stream.expect("hello").data["counts"] == own.counts()


def test_publish__arrives_in_all_tabs_with_its_counts(
    feed_places: FeedGateways, own: OwnFeed, websocket: WebSocketClient
) -> None:
    """The greeting has what was there before; what comes is told, and listed under the same id."""
    with feed_places.gateways[0].open(own.user) as stream:
        assert _greeted(stream)["unread"] == 0
        (name,) = feed_places.publish(own.user)
        clients: list[Any] = [stream, websocket]
        for client in clients:
            # In this order, unless the gateway was not told and had to look.
            found: dict[str, Any] = {}
            while {"notification", "counts"} - found.keys():
                one: Any = client.said() if client is websocket else client.frame()
                found[one.kind] = one.data
            assert found["notification"]["notification_id"] == name
            assert found["counts"]["unread"] == 1
    assert [item["notification_id"] for item in own.items()] == [name]


def test_message__that_changes_nothing_is_answered(
    feed_places: FeedGateways, own: OwnFeed, websocket: WebSocketClient
) -> None:
    """With the counts as they are: its client waits for them. Only its own tab is."""
    (name,) = feed_places.publish(own.user)
    own.mark("read", name)
    counts = own.counts()
    with open_websocket(feed_places.gateways[1], own.user) as other:
        assert _greeted(other) == counts
        messages: list[Any] = [
            {"read": {"ids": [name]}},
            {"seen": {"all": True}},
            {"read": {"ids": []}},
        ]
        for message in messages:
            while True:
                _say(websocket, message)
                if _answer(websocket).data == counts:
                    break
        _say(other, {"read": {"ids": [name]}})
        assert other.said() == Said("counts", None, counts)


def _answer(websocket: WebSocketClient) -> Said:
    """Return the next counts, or the next error."""
    while (said := websocket.said()).kind not in ("counts", "error"):
        pass
    return said


@pytest.mark.parametrize(
    ("message", "status", "field"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b'{"read":{"all":true},"read":{"all":true}}', 400, "read"),
        (b"[" * 1000, 400, ""),
        (b"[%s]" % b",".join([b"1"] * 5000), 413, ""),
        (b"null", 422, ""),
        (b"{}", 422, ""),
        (b'{"archive":{"all":true}}', 422, "archive"),
        (b'{"read":{"all":true},"seen":{"all":true}}', 422, ""),
        (b'{"read":null}', 422, "read"),
        (b'{"read":{}}', 422, "read.ids"),
        (b'{"read":{"ids":["x"]}}', 422, "read.ids[0]"),
        (b'{"seen":{"all":true,"user":"u1"}}', 422, "seen.user"),
        (b'{"seen":{"ids":["\\u0000"]}}', 422, "seen.ids[0]"),
        (b'{"read":{"ids":["%s"]}}' % UNKNOWN, 404, "read.ids[0]"),
        (b'{"seen":{"all":true,"until":"%s"}}' % UNKNOWN, 404, "seen.until"),
    ],
)
def test_message__that_is_wrong_is_answered_with_the_problem(
    feed_places: FeedGateways, own: OwnFeed, message: bytes, status: int, field: str
) -> None:
    """In the words of HTTP; the WebSocket goes on, and nothing is marked."""
    (name,) = feed_places.publish(own.user)
    with open_websocket(feed_places.gateways[0], own.user) as websocket:
        _greeted(websocket)
        websocket.send(frame(TEXT, message))
        said = websocket.expect("error")
        assert said.id is None
        assert said.data["status"] == status, said
        assert [one["field"] for one in said.data["errors"]] == [field]
        assert own.counts()["unread"] == 1
        _say(websocket, {"read": {"ids": [name]}})
        assert websocket.expect("counts").data["unread"] == 0


def test_message__of_another_users_item_is_not_found(
    feed_places: FeedGateways, own: OwnFeed, websocket: WebSocketClient
) -> None:
    """As over HTTP."""
    stranger = f"not-{own.user}"
    (theirs,) = feed_places.publish(stranger)
    _say(websocket, {"read": {"ids": [theirs]}})
    assert websocket.expect("error").data["status"] == 404
    with feed_places.own(stranger) as other:
        assert other.counts()["unread"] == 1


def test_message__may_come_in_any_pieces(
    feed_places: FeedGateways, own: OwnFeed, websocket: WebSocketClient
) -> None:
    """With pings in between, which are answered; five hundred ids are one message."""
    ids = feed_places.publish(own.user, 2)
    websocket.until("counts")
    text = json.dumps({"read": {"ids": ids + [new_id() for _ in range(498)]}}).encode()
    middle = len(text) // 2
    websocket.send(
        frame(TEXT, text[:1], first=0),
        frame(PING, b"p"),
        frame(_CONTINUED, text[1:middle], first=0),
        frame(_CONTINUED, b"", first=0),
        frame(_CONTINUED, text[middle:]),
    )
    found: set[str] = set()
    while len(found) < 2:
        opcode, data = websocket.frame() or (CLOSE, b"")
        assert opcode in (TEXT, PONG)
        if opcode == PONG:
            found.add("pong")
        elif json.loads(data)["data"].get("unread") == 0:
            found.add("counts")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(BINARY, b'{"read":{"all":true}}'), 1003),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xc3", first=0) + frame(_CONTINUED, b"\x28"), 1007),
        # The end is left out: to send it to who has closed already is an error.
        (frame(TEXT, b"x" * 65_537)[:500], 1009),
        (frame(TEXT, b"x" * 40_000, first=0) + frame(_CONTINUED, b"x" * 40_000)[:500], 1009),
        (frame(_CONTINUED, b"{}"), 1002),
    ],
    # A frame has a random key: each process would give its test another name.
    ids=["binary", "not UTF-8", "not UTF-8 in two", "long", "long in two", "continued"],
)
def test_message__that_may_not_be_ends_its_websocket(
    feed_places: FeedGateways, own: OwnFeed, websocket: WebSocketClient, sent: bytes, code: int
) -> None:
    """Alone, with the code that says why; nothing is marked."""
    (_,) = feed_places.publish(own.user)
    with feed_places.gateways[1].open(own.user) as other:
        other.expect("hello")
        websocket.send(sent)
        while (found := websocket.frame()) is not None and found[0] == TEXT:
            pass
        assert found is not None
        assert (found[0], int.from_bytes(found[1][:2], "big")) == (CLOSE, code)
        assert own.counts()["unread"] == 1
        feed_places.publish(own.user)
        other.until("notification")


def test_flood__is_answered_one_by_one(
    feed_places: FeedGateways, own: OwnFeed, websocket: WebSocketClient
) -> None:
    """Each message gets an answer, also those that are too many at a time."""
    (name,) = feed_places.publish(own.user)
    websocket.until("counts")
    message = frame(TEXT, json.dumps({"seen": {"ids": [name]}}).encode())
    for _ in range(5):
        websocket.send(message * 30)
        answers = [_answer(websocket) for _ in range(30)]
        assert {said.kind for said in answers} <= {"counts", "error"}
        assert {said.data["status"] for said in answers if said.kind == "error"} <= {503}
    assert own.counts()["unseen"] == 0


def test_message__of_a_client_that_leaves_is_done(feed_places: FeedGateways, own: OwnFeed) -> None:
    """A page says it while it is closed."""
    ids = feed_places.publish(own.user, 3)
    with feed_places.gateways[0].open(own.user) as stream:
        _greeted(stream)
        with open_websocket(feed_places.gateways[1], own.user) as websocket:
            _greeted(websocket)
            for name in ids:
                _say(websocket, {"read": {"ids": [name]}})
            websocket.peer.shutdown(socket.SHUT_WR)
            websocket.is_over()
        while stream.until("counts")[-1].data["unread"]:
            pass
    assert own.counts()["unread"] == 0


def test_event__of_the_stream_is_shown_listed_and_counted(
    server: Server, feed_database: Postgres
) -> None:
    """By the gateway and the writer, also behind a crash of either; the greeting has the counts."""
    with (
        feed_gateways(server, feed_database, 2) as places,
        feed_on(server, feed_database) as writer,
        server.client() as admin,
        places.own("u0", at=1) as own,
    ):
        writer.wait_for("feed writing")
        gateway = places.gateways[0]
        with gateway.open("u0") as stream:
            _greeted(stream)
            publish(admin, range(1, 4), users=1)
            names = {stream.until("notification")[-1].data["notification_id"] for _ in range(3)}
            wait_until(lambda: own.counts()["unread"] == 3, "all are in the feed")
            assert {item["notification_id"] for item in own.items()} == names
            gateway.kill()
            writer.kill()
        own.mark("read", names.pop())
        publish(admin, [4], users=1)
        gateway.start()
        gateway.ready()
        with gateway.open("u0") as stream:
            assert _greeted(stream) == own.counts()
            writer.start()
            while stream.until("counts")[-1].data["unread"] != 3:
                pass
        with gateway.open("u0") as stream:
            assert stream.expect("hello").data["counts"] == own.counts()
        assert (own.counts()["unread"], own.counts()["unseen"]) == (3, 3)
        assert not drift(feed_database)
