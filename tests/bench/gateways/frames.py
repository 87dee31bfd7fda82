"""What clients receive: where a message ends, and which events there are in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

#: Occurs once in each event, on both sides.
MARK = b'"at_us":'
_EVENT = re.compile(rb'"turn":(\d+),"at_us":(\d+)')
_OFFSET = re.compile(rb'"offset":(\d+)')
#: Of an event of ours as server-sent, as a WebSocket has it; what Socket.IO adds to an event.
_CURSOR = re.compile(rb'^id: (\S+)$|,"id":"([^"]+)","data":|,"(\d+-\d+)"\]', re.MULTILINE)
_SESSION = re.compile(rb'40\{"sid":"[^"]+","pid":"([^"]+)"')

Whole = Callable[[bytes], int]


class Received(NamedTuple):
    """An event that came: its number, and how long it took, in µs."""

    number: int
    took_us: int


def whole_sse(data: bytes) -> int:
    """Return how many of these bytes are whole messages of a text/event-stream."""
    end = data.rfind(b"\n\n")
    return end + 2 if end >= 0 else 0


def whole_frames(data: bytes) -> int:
    """Return how many of these bytes are whole WebSocket frames of a server."""
    end = 0
    while (size := _frame_size(data, end)) and end + size <= len(data):
        end += size
    return end


def whole_answer(data: bytes) -> int:
    """Return how many bytes are whole frames; the head of the answer counts as well."""
    head = data.find(b"\r\n\r\n") + 4 if data.startswith(b"HTTP/") else 0
    if data.startswith(b"HTTP/") and head < 4:
        return 0
    return head + whole_frames(data[head:])


def _frame_size(data: bytes, at: int) -> int:
    """Return the bytes of a frame with its head; 0 where the head is not whole."""
    if len(data) < at + 2:
        return 0
    size = data[at + 1]
    wide = {126: 2, 127: 8}.get(size, 0)
    if len(data) < at + 2 + wide:
        return 0
    return 2 + wide + (int.from_bytes(data[at + 2 : at + 2 + wide]) if wide else size)


def frame(text: str) -> bytes:
    """Return a short text as a frame of a client; its mask is zero, which leaves it as it is."""
    payload = text.encode()
    if len(payload) > 125:
        raise ValueError("too long for a short frame")
    return bytes((0x81, 0x80 | len(payload), 0, 0, 0, 0)) + payload


def events_in(at_us: int, data: bytes) -> Iterator[Received]:
    """Return the events of whole messages that came at a time."""
    for number, since_us in _EVENT.findall(data):
        yield Received(int(number), at_us - int(since_us))


def offsets_in(data: bytes) -> list[int]:
    """Return the offsets of the events, in their order."""
    return [int(offset) for offset in _OFFSET.findall(data)]


def last_cursor(data: bytes) -> str:
    """Return the last cursor that a client was sent; empty without one."""
    found = _CURSOR.findall(data)
    return b"".join(found[-1]).decode() if found else ""


def session_in(data: bytes) -> str:
    """Return what Socket.IO calls a session that can be recovered; empty without one."""
    found = _SESSION.search(data)
    return found[1].decode() if found else ""
