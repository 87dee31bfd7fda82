"""Whatever an instance is told, and when, a client has every event once and in order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha1

from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_notify.model.cursor import BEGINNING, Cursor, parse_cursor
from galaxy_notify.realtime.hub import Hub
from galaxy_notify.realtime.message import Message, hello
from galaxy_notify.realtime.stream import BufferLimits, Stream

HISTORY = 5


def _message(epoch: int, offset: int) -> Message:
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
        self._append(_message(self.epoch, self.top.offset + 1))

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


_STEPS = st.lists(
    st.one_of(
        st.sampled_from([*3 * ["deliver"], "connect", "go_live", "disconnect", "read", "keep_up"]),
        st.sampled_from(["trim", "lose", "roll_back", "roll_back_further"]),
        st.integers(0, 30),
        st.just(-1),
    ),
    max_size=60,
)


def _read(stream: Stream, at: Cursor, follows: Mapping[Cursor, Cursor]) -> Cursor:
    """Read all messages of a stream from a place on; return where they end."""
    for message in iter(stream.take, None):
        if message.kind == "reset":
            at = parse_cursor(json.loads(message.data)["cursor"]) or BEGINNING
            continue
        assert message.cursor is not None
        if message.kind != "hello":
            assert message.cursor.epoch == at.epoch or at == BEGINNING
            assert message.cursor.offset == at.offset + 1
            assert follows.get(message.cursor, at) == at
        at = message.cursor
    return at


@settings(max_examples=300, deadline=None)
@given(_STEPS)
def test_streams__have_every_event_in_order_or_a_reset(steps: list[str | int]) -> None:
    """Told in any order, twice or never, over trims and failovers: no hole, no repeat, the top."""
    world = World()
    world.connect()
    at: dict[Stream, Cursor] = {}
    for step in [*steps, "deliver"]:
        if isinstance(step, int):
            world.tell(step)
        else:
            getattr(world, step)()
        for stream in world.streams:
            at[stream] = _read(stream, at.get(stream, BEGINNING), world.list.follows)
    world.go_live()
    world.settle()
    for stream in world.streams:
        assert _read(stream, at[stream], world.list.follows) == world.list.top


def test_hole__is_filled_by_what_comes_late() -> None:
    """An event that came early waits for the one before it; nothing is read then."""
    world = World()
    world.list.deliver()
    world.connect()
    world.go_live()
    for _ in range(3):
        world.list.deliver()
    for number in (3, 2, 1):
        world.tell(number)
    (stream,) = world.streams
    assert [message.kind for message in iter(stream.take, None)] == ["hello", *3 * ["notification"]]
    assert stream.cursor == world.list.top


def test_place__of_a_user_without_history_takes_the_first_event() -> None:
    """A client that connected before the first event of its user misses nothing."""
    world = World()
    world.connect()
    world.go_live()
    world.list.deliver()
    world.tell(0)
    (stream,) = world.streams
    assert stream.cursor == world.list.top


def test_event__that_came_before_the_stream_was_live_is_read() -> None:
    """Nobody compares tops here: the stream itself knows that it passed an event over."""
    world = World()
    world.connect()
    world.list.deliver()
    world.tell(0)
    world.go_live()
    world.read()
    assert world.streams[0].cursor == world.list.top


def test_offset__with_another_event_is_found_at_once() -> None:
    """After a failover an offset is given out again: the clients are reset."""
    world = World()
    world.list.deliver()
    world.list.deliver()
    world.connect()
    world.go_live()
    world.roll_back()
    world.tell(-1)
    world.read()
    kinds = [message.kind for message in iter(world.streams[0].take, None)]
    assert kinds == ["hello", "reset"]
    assert world.streams[0].cursor == world.list.top


def test_event__that_follows_another_one_is_not_sent() -> None:
    """After a failover the list has grown past a client that was told of the last event only."""
    world = World()
    for _ in range(4):
        world.list.deliver()
    world.connect()
    world.go_live()
    world.roll_back_further()
    world.tell(len(world.list.told) - 1)
    world.read()
    kinds = [message.kind for message in iter(world.streams[0].take, None)]
    assert kinds == ["hello", "reset"]


def test_held__that_the_list_never_reaches_is_forgotten() -> None:
    """What a replaced server gave out far ahead is not waited for without end."""
    world = World()
    world.list.deliver()
    world.connect()
    world.go_live()
    world.hub.receive("u1", _message(1, 9))
    world.settle()
    assert world.hub.due_in_s() is None


def test_slow_client__is_cut_off_and_costs_no_other() -> None:
    """A stream whose buffer is full takes no more; the other one has all."""
    hub = Hub(0.0, lambda: None)
    slow, fast = (Stream("u1", BufferLimits(size, 1 << 20)) for size in (2, 9))
    for stream in (slow, fast):
        hub.add(stream)
        hub.go_live(stream)
    for offset in range(1, 5):
        hub.receive("u1", _message(1, offset))
    assert (slow.end_reason, fast.end_reason) == ("slow", "")
    assert len(list(iter(slow.take, None))) == 2
    assert len(list(iter(fast.take, None))) == 4


def test_buffer__is_bounded_in_bytes_but_takes_one_large_message() -> None:
    """A message larger than the buffer is sent while nothing else waits."""
    stream = Stream("u1", BufferLimits(9, 100))
    stream.put(Message("message", "x" * 500))
    ended = [stream.end_reason]
    stream.put(Message("message", "y"))
    assert [*ended, stream.end_reason] == ["", "slow"]


def test_place__that_its_stream_has_left_is_read_again() -> None:
    """A stream that takes a held event while its page is read gets the rest of it all the same."""
    world = World()
    for _ in range(3):
        world.list.deliver()
    world.connect()
    for _ in range(4):
        world.list.deliver()
    world.connect()
    world.go_live()
    world.tell(5)
    while world.hub.due_in_s() is not None:
        # The stream that lacks nothing first: then the other one is offered what is held.
        for place in sorted(world.hub.due(), key=lambda one: -one.cursor.offset):
            word, page = world.list.read(place.cursor)
            world.hub.catch_up(place, word, world.list.top, page)
    assert [stream.cursor for stream in world.streams] == [world.list.top] * 2
