"""Messages as text: rendered once, and never anything that JSON does not have."""

from __future__ import annotations

import json

import pytest
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.cursor import BEGINNING, Cursor
from galaxy_notify.model.feed import Counts
from galaxy_notify.model.live_event import LiveEvent, Retraction
from galaxy_notify.realtime.message import Message, bye, hello, notification, reset
from tests.support.event_stream import EventParser, Frame

_PLACE = Cursor("e", 7, "abcd")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": float("-inf")}]])
def test_notification__of_what_json_does_not_have_is_corrupt(value: object) -> None:
    """The reader of a list or an inbox passes it over; no other exception comes of it."""
    event = LiveEvent(f"{1:032x}/push:u1", "t", "info", "", "", {"x": value}, 1)
    with pytest.raises(Corrupt):
        notification(event, _PLACE)


def test_messages__have_the_forms_of_the_contract() -> None:
    """Only what moves the place of a client has an id."""
    messages = [
        hello(BEGINNING, resumed=False),
        hello(_PLACE, resumed=True, counts=Counts(2, 3, 4, 5)),
        reset("trimmed", _PLACE),
        bye("rotate", 1234),
    ]
    parser = EventParser()
    frames = [frame for message in messages for frame in parser.feed(message.sse)]
    counts = {"unread": 2, "unseen": 3, "version": 4, "epoch": 5}
    assert frames == [
        Frame("hello", "0.0.0", {"cursor": "0.0.0", "resumed": False, "counts": None}, None),
        Frame("hello", "e.7.abcd", {"cursor": "e.7.abcd", "resumed": True, "counts": counts}, None),
        Frame("reset", "e.7.abcd", {"reason": "trimmed", "cursor": "e.7.abcd"}, None),
        Frame("bye", "e.7.abcd", {"reason": "rotate", "retry_ms": 1234}, 1234),
    ]


@pytest.mark.parametrize("size", [0, 50, 80, 81, 82, 83, 84, 90, 65_490, 65_500, 65_600])
def test_websocket__is_a_text_frame(size: int) -> None:
    """Each of the three forms of a length is what the library for WebSockets makes of it."""
    data = "x" * size
    text = f'{{"event":"m","id":null,"data":{data}}}'.encode()
    assert Message("m", data).websocket == WebSocketFrame(Opcode.TEXT, text).serialize(mask=False)


@pytest.mark.parametrize("text", ["x" * 500, "é" * 500, "語" * 500, "\ud800" * 500])
def test_size__is_about_that_of_what_is_sent(text: str) -> None:
    """It is counted in bytes, and is no less than what is sent as an event of its user."""
    message = Message("notification", text, _PLACE)
    for sent in (message.sse, message.websocket):
        assert len(sent) <= message.size <= len(sent) + 80


def test_retraction__is_a_message_with_its_place() -> None:
    """It names the notification and its own offset, and moves the place of a client."""
    message = notification(Retraction("a" * 32), _PLACE)
    assert (message.kind, message.cursor) == ("retract", _PLACE)
    assert json.loads(message.data) == {"notification_id": "a" * 32, "offset": 7}
    assert message.sse.startswith(b"event: retract\nid: e.7.abcd\ndata: ")
