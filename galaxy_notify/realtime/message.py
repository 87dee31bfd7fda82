"""What is sent to clients: each message is rendered once, however many connections send it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.cursor import Cursor
from galaxy_notify.model.feed import Counts
from galaxy_notify.model.live_event import LiveEvent, Retraction

_text: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


#: What a message takes besides its data: kind, cursor, and how it is framed.
_AROUND_BYTES: Final = 80
#: Up to here the length of a frame is one byte.
_SHORT_BYTES: Final = 125


@dataclass(frozen=True)
class Message:
    """One message; only those with a cursor move the place of a client."""

    kind: str
    data: str
    cursor: Cursor | None = None
    #: After how many ms a client that lost its connection should connect again; None: unchanged.
    retry_ms: int | None = None
    #: When the event came into the gateway stream (ms since 1970); 0 where it is not live.
    at_ms: int = 0
    #: The check of the event before this one; empty where it is not known.
    before: str = ""

    @cached_property
    def sse(self) -> bytes:
        """The message as an event of a text/event-stream."""
        # JSON has no line breaks outside of texts, and in texts they are escaped.
        lines = [f"event: {self.kind}", f"data: {self.data}"]
        if self.cursor is not None:
            lines.insert(1, f"id: {self.cursor}")
        if self.retry_ms is not None:
            lines.insert(0, f"retry: {self.retry_ms}")
        return ("\n".join(lines) + "\n\n").encode("utf-8", "backslashreplace")

    @cached_property
    def size(self) -> int:
        """About how many bytes it takes, whichever way it is sent."""
        text = self.data
        length = len(text) if text.isascii() else len(text.encode("utf-8", "backslashreplace"))
        return _AROUND_BYTES + length

    @cached_property
    def websocket(self) -> bytes:
        """The message as a text frame of a WebSocket."""
        place = "null" if self.cursor is None else f'"{self.cursor}"'
        text = f'{{"event":"{self.kind}","id":{place},"data":{self.data}}}'
        payload = text.encode("utf-8", "backslashreplace")
        return _frame_head(len(payload)) + payload


def _frame_head(size: int) -> bytes:
    """Return what precedes a whole text of so many bytes in a frame of a server."""
    if size <= _SHORT_BYTES:
        return bytes((0x81, size))
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


def hello(cursor: Cursor, *, resumed: bool, counts: Counts | None = None) -> Message:
    """Return the first message of a stream; what follows begins behind the cursor."""
    document = counts and counts.document()
    data = {"cursor": str(cursor), "resumed": resumed, "counts": document}
    return Message("hello", _text(data), cursor)


def notification(
    event: LiveEvent | Retraction, cursor: Cursor, at_ms: int = 0, before: str = ""
) -> Message:
    """Return the message of an event of its user, which came into its stream at *at_ms*.

    That of a retraction has the kind ``retract``. *before* is the check of the event before it.
    Raises `Corrupt` for values that JSON does not have: another program has written them.
    """
    try:
        text = _text(event.document(cursor.offset))
    except (ValueError, TypeError, RecursionError) as error:
        raise Corrupt(f"event: {type(error).__name__}: {error}"[:200]) from error
    kind = "retract" if isinstance(event, Retraction) else "notification"
    return Message(kind, text, cursor, at_ms=at_ms, before=before)


def reset(reason: str, cursor: Cursor) -> Message:
    """Return the message that events may be missing; what follows begins behind the cursor."""
    return Message("reset", _text({"reason": reason, "cursor": str(cursor)}))


def pushed(kind: str, data: str) -> Message:
    """Return a message of the user's own application; *data* is JSON text."""
    return Message("message", f'{{"type":{_text(kind)},"data":{data}}}')


def counted(counts: Counts) -> Message:
    """Return the message of the counts of the user's feed."""
    return Message("counts", _text(counts.document()))


def failed(problem: str) -> Message:
    """Return the answer to a message of a client that was not done; *problem* is JSON text."""
    return Message("error", problem)


def status(*, live: bool) -> Message:
    """Return the message that events are late while Redis is away, or no longer."""
    return Message("status", _text({"live": live}))


def bye(reason: str, retry_ms: int) -> Message:
    """Return the last message of a stream, and when its client should connect again."""
    data = {"reason": reason, "retry_ms": retry_ms}
    return Message("bye", _text(data), retry_ms=retry_ms)
