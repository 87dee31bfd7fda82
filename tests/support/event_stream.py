"""An event stream as the standard has it: bytes of a response, chunks, lines, events."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")
_LINE_END = re.compile(r"\r\n|\n|\r")


class Frame(NamedTuple):
    """One event, and the last id and the reconnection time that were known with it."""

    kind: str
    id: str
    data: Any
    retry_ms: int | None


class ChunkedBody:
    """Takes a body in chunks apart; fails for whatever RFC 9112 does not allow."""

    def __init__(self) -> None:
        self.is_over = False
        self._buffer = b""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of the body in what came; fail where its end came too early."""
        assert data or self.is_over, "the connection has ended in the middle of a body"
        self._buffer += data
        return b"".join(self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        while not self.is_over:
            size_text, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return
            assert _SIZE.fullmatch(size_text), size_text
            size = int(size_text, 16)
            if len(rest) < size + 2:
                return
            assert rest[size : size + 2] == b"\r\n", rest[: size + 2]
            self._buffer = rest[size + 2 :]
            self.is_over = size == 0
            yield rest[:size]


class SizedBody:
    """Takes a body of a known length."""

    def __init__(self, size: int) -> None:
        self._left = size

    @property
    def is_over(self) -> bool:
        """Whether all of it has come."""
        return not self._left

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of the body in what came; fail where its end came too early."""
        assert data or self.is_over, f"the connection has ended {self._left} bytes too early"
        found = data[: self._left]
        self._left -= len(found)
        return found


class OpenBody:
    """Takes a body that ends with the connection."""

    is_over = False

    def feed(self, data: bytes) -> bytes:
        """Return what came; nothing is the end."""
        self.is_over = not data
        return data


class EventParser:
    """Interprets an event stream as the HTML standard says, however it is cut into pieces."""

    def __init__(self) -> None:
        self.comments = 0
        self.last_id = ""
        self.retry_ms: int | None = None
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._is_at_start = True
        self._kind, self._data = "", list[str]()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Return the events that are complete."""
        text = self._decode.decode(data)
        if self._is_at_start and text:
            text, self._is_at_start = text.removeprefix("\ufeff"), False
        self._text += text
        while (end := _LINE_END.search(self._text)) is not None:
            if end[0] == "\r" and end.end() == len(self._text):
                return  # The other half of a line end may follow.
            line, self._text = self._text[: end.start()], self._text[end.end() :]
            if line:
                self._take(line)
            elif frame := self._dispatch():
                yield frame

    def _take(self, line: str) -> None:
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name and colon:
            self.comments += 1
        elif name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> Frame | None:
        kind, data = self._kind or "message", self._data
        self._kind, self._data = "", []
        if not data:
            return None
        return Frame(kind, self.last_id, json.loads("\n".join(data)), self.retry_ms)
