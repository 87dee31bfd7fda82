"""One user's recent list and a hub with streams, without Redis: what tests of the hub play with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha1

from galaxy_notify.model.cursor import BEGINNING, Cursor
from galaxy_notify.realtime.hub import Hub
from galaxy_notify.realtime.message import Message, hello
from galaxy_notify.realtime.stream import BufferLimits, Stream

HISTORY = 5


def event_at(epoch: int, offset: int) -> Message:
    """Return the event that an epoch has at an offset."""
    check = sha1(b"%d/%d" % (epoch, offset)).hexdigest()[:4]
    return Message("notification", f"{epoch}/{offset}", Cursor(f"e{epoch}", offset, check))


@dataclass
class RecentList:
    """The recent list of the one user, as the scripts keep it."""

    epoch: int = 0
    events: list[Message] = field(default_factory=list)
    told: list[Message] = field(default_factory=list)
    #: Events that a failover took back, and that clients may have seen.
    undone: int = 0
    #: Event -> the one before it.
    follows: dict[Cursor, Cursor] = field(default_factory=dict)

    @property
    def top(self) -> Cursor:
        return self.events[-1].cursor or BEGINNING if self.events else BEGINNING

    def deliver(self) -> None:
        if not self.events:
            self.epoch += 1
        self._append(event_at(self.epoch, self.top.offset + 1))

    def deliver_other(self) -> None:
        """Deliver an event at an offset that another one may have had."""
        epoch, offset = self.top.epoch, self.top.offset + 1
        self.undone += 1
        check = sha1(b"undone %d" % self.undone).hexdigest()[:4]
        self._append(Message("notification", f"other {offset}", Cursor(epoch, offset, check)))

    def _append(self, message: Message) -> None:
        before = self.top.check if self.events else ""
        told = replace(message, before=before)
        assert message.cursor is not None
        if self.events:
            self.follows[message.cursor] = self.top
        self.events = [*self.events, message][-HISTORY:]
        self.told.append(told)

    def read(self, cursor: Cursor) -> tuple[str, list[Message]]:
        """Answer as recent_read does, a page of two events."""
        behind = self.top.offset - cursor.offset
        kept = [event.cursor for event in self.events]
        if cursor == BEGINNING:
            word = "read" if behind <= len(self.events) else "trimmed"
        elif cursor.epoch != self.top.epoch:
            word = "unknown"
        elif behind < 0:
            word = "rolled_back"
        elif cursor.offset not in [one.offset for one in kept if one]:
            word = "trimmed"
        else:
            word = "read" if cursor in kept else "rolled_back"
        page = self.events[len(self.events) - behind :][:2] if word == "read" and behind else []
        return word, page


class World:
    """One list, one hub with streams, and what goes on between them."""

    def __init__(self) -> None:
        self.list = RecentList()
        self.hub = Hub(0.0, lambda: None)
        self.streams: list[Stream] = []

    def connect(self) -> None:
        stream = Stream("u1", BufferLimits(1000, 1 << 20))
        self.hub.add(stream)
        stream.start(hello(self.list.top, resumed=False), self.list.top)
        self.streams.append(stream)

    def go_live(self) -> None:
        """Let streams take events: what came since their history was read is in the list."""
        for stream in self.streams:
            if not stream.is_live:
                self.hub.go_live(stream)

    def disconnect(self) -> None:
        if self.streams:
            self.hub.remove(self.streams.pop(0))

    def deliver(self) -> None:
        self.list.deliver()

    def tell(self, at: int) -> None:
        """Tell one of what was delivered, again perhaps."""
        if self.list.told:
            self.hub.receive("u1", self.list.told[at % len(self.list.told)])

    def trim(self) -> None:
        self.list.events = self.list.events[-1:]

    def lose(self) -> None:
        """The list is evicted."""
        self.list.events = []

    def roll_back(self) -> None:
        """A replica without the last event becomes the primary; its next event is another one."""
        self._roll_back(1)

    def roll_back_further(self) -> None:
        """The same with three events, and the new ones go beyond them."""
        self._roll_back(3)

    def _roll_back(self, events: int) -> None:
        if len(self.list.events) > events:
            del self.list.events[-events:]
            for _ in range(events + events // 2):
                self.list.deliver_other()

    def read(self) -> None:
        """Read what the hub finds missing, once."""
        for place in self.hub.due():
            word, page = self.list.read(place.cursor)
            self.hub.catch_up(place, word, self.list.top, page)

    def keep_up(self) -> None:
        """All streams have what there is, as almost always."""
        self.go_live()
        self.settle()

    def settle(self) -> None:
        """Compare with the top, as an instance does every ten seconds, until all is read."""
        self.hub.compare("u1", self.list.top)
        for _ in range(100):
            if self.hub.due_in_s() is None:
                return
            self.read()
        raise AssertionError("the hub never comes to rest")
