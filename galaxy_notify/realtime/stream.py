"""What one client is sent: a place among the events of its user, and a bounded buffer."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from math import inf
from typing import NamedTuple, Protocol

from galaxy_notify.model.cursor import BEGINNING, Cursor
from galaxy_notify.realtime.message import Message, reset


class BufferLimits(NamedTuple):
    """What may wait for a client that does not read: messages and bytes."""

    messages: int
    bytes: int


class Offered(Enum):
    """What a stream did with an event of its user."""

    #: It is sent, or was sent before.
    TAKEN = auto()
    #: Events before it are missing: it may be taken after them.
    AHEAD = auto()
    #: It does not follow from what was sent: only the recent list says what is true.
    DIFFERENT = auto()


class Writer(Protocol):
    """The connection of a stream."""

    def wake(self) -> None:
        """Write soon: there is something to take, or the stream ends."""

    def write(self) -> None:
        """Write at once what the client can take."""


class Stream:
    """The messages to one client, in order and without a hole.

    The hub puts messages in, the transport takes them out. A client that does not keep up is cut
    off: ``end_reason``. Until `go_live` events are left to the recent list.
    """

    __slots__ = (
        *("user", "issued_at", "cursor", "is_live", "was_passed_over", "end_reason"),
        *("dropped", "writer", "_limits", "_messages", "_bytes"),
    )

    def __init__(self, user: str, limits: BufferLimits, issued_at: float = inf) -> None:
        self.user = user
        #: When the token of the client was issued (seconds since 1970): a logout ends earlier ones.
        self.issued_at = issued_at
        #: Behind which event the client is, once all that was put has arrived.
        self.cursor = BEGINNING
        self.is_live = False
        #: Whether an event came before the stream was live: the list has it, perhaps unread.
        self.was_passed_over = False
        #: Why the stream ends: slow or logout; empty while it goes on.
        self.end_reason = ""
        #: Messages that came behind the end, and were not kept.
        self.dropped = 0
        self._limits = limits
        #: What takes messages out; none before the client's connection is ready, and behind it.
        self.writer: Writer | None = None
        # An empty list takes a tenth of the memory of an empty deque, and it stays short.
        self._messages: list[Message] = []
        self._bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether a page of events may be put: the client has read most of what there was."""
        most_messages, most_bytes = self._limits
        return len(self._messages) <= most_messages // 2 and self._bytes <= most_bytes // 2

    def start(self, first: Message, cursor: Cursor) -> None:
        """Begin behind a cursor with the first message."""
        self.cursor = cursor
        self.put(first)

    def go_live(self) -> None:
        """Take events from now on."""
        self.is_live = True

    def offer(self, message: Message) -> Offered:
        """Send an event if it is the next one."""
        assert message.cursor is not None
        if not self.is_live:
            self.was_passed_over = True
            return Offered.TAKEN
        return self._follow(message, message.cursor)

    def catch_up(self, messages: Sequence[Message]) -> None:
        """Send events that the recent list has behind the place of this stream.

        What does not fit into the buffer is left to the next read: a client is not slow because
        much is there to be read.
        """
        for message in messages:
            assert message.cursor is not None
            if not self._fits(message.size):
                return
            self._follow(message, message.cursor)

    def reset_to(self, cursor: Cursor, reason: str) -> None:
        """Report that events may be missing; go on behind the cursor."""
        self.cursor = cursor
        self.put(reset(reason, cursor))

    def put(self, message: Message) -> None:
        """Send a message, unless the client is too slow already."""
        size = message.size
        if not self._fits(size) and self.writer is not None:
            # Many events of one user came at once: what the client reads is no sign of it yet.
            self.writer.write()
        if not self._fits(size):
            self.end_reason = self.end_reason or "slow"
        if not self.end_reason:
            self._messages.append(message)
            self._bytes += size
        else:
            self.dropped += 1
        if self.writer is not None:
            self.writer.wake()

    def end(self, reason: str) -> None:
        """End the stream for a reason that its client is told."""
        self.end_reason = reason
        if self.writer is not None:
            self.writer.wake()

    def take(self) -> Message | None:
        """Return the next message to write; None if there is none."""
        if not self._messages:
            return None
        message = self._messages.pop(0)
        self._bytes -= message.size
        return message

    def _fits(self, size: int) -> bool:
        """Return whether a message may wait; a single one may be larger than the buffer."""
        if not self._messages:
            return True
        most_messages, most_bytes = self._limits
        return len(self._messages) < most_messages and self._bytes + size <= most_bytes

    def _follow(self, message: Message, cursor: Cursor) -> Offered:
        own = self.cursor
        if own == BEGINNING:
            # The first event of a user decides the epoch.
            own = Cursor(cursor.epoch, 0, BEGINNING.check)
        if cursor.epoch != own.epoch or (cursor.offset == own.offset and cursor != own):
            return Offered.DIFFERENT
        if cursor.offset > own.offset + 1:
            return Offered.AHEAD
        if cursor.offset == own.offset + 1:
            if own.offset and message.before not in ("", own.check):
                # After a failover the offset of the last one sent is that of another event, of
                # which this stream may never have been told.
                return Offered.DIFFERENT
            self.cursor = cursor
            self.put(message)
        return Offered.TAKEN
