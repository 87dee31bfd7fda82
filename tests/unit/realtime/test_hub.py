"""Whatever an instance is told, and when, a client has every event once and in order."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_notify.model.cursor import BEGINNING, Cursor, parse_cursor
from galaxy_notify.realtime.hub import Hub
from galaxy_notify.realtime.message import Message
from galaxy_notify.realtime.stream import BufferLimits, Stream
from tests.support.hub_world import World, event_at

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
    world.hub.receive("u1", event_at(1, 9))
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
        hub.receive("u1", event_at(1, offset))
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
