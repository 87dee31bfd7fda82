"""Whatever counts an instance is told: a client has the newest, and never an older one."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_notify.model.cursor import BEGINNING
from galaxy_notify.model.feed import Counts
from galaxy_notify.realtime.hub import Hub
from galaxy_notify.realtime.message import hello
from galaxy_notify.realtime.stream import BufferLimits, Stream

_COUNTS = st.builds(
    lambda version, epoch: Counts(version % 3, version % 5, version, epoch),
    version=st.integers(1, 6),
    epoch=st.integers(1, 3),
)


def _hub() -> Hub:
    return Hub(0.1, lambda: None)


def _begin(hub: Hub, stream: Stream) -> None:
    """Begin a stream as arrivals do."""
    counts = hub.counts_of(stream.user)
    stream.start(hello(BEGINNING, resumed=False, counts=counts), BEGINNING)
    hub.go_live(stream)


def _stream(user: str = "u1") -> Stream:
    return Stream(user, BufferLimits(1000, 1 << 20))


def _read(stream: Stream) -> list[Counts]:
    """Return the counts that a client reads, of its greeting and behind it."""
    found = []
    for message in iter(stream.take, None):
        data = json.loads(message.data)
        given = data["counts"] if message.kind == "hello" else data
        if given is not None:
            found.append(Counts(**given))
    return found


@settings(deadline=None)
@given(told=st.lists(_COUNTS), begins=st.integers(0, 12))
def test_counts__grow_whatever_their_order(told: list[Counts], begins: int) -> None:
    """A client that comes at any moment ends with the newest counts that were told."""
    hub, early, late = _hub(), _stream(), _stream()
    hub.add(early)
    _begin(hub, early)
    hub.add(late)
    for number, counts in enumerate(told):
        if number == begins:
            _begin(hub, late)
        hub.receive_counts("u1", counts)
    if begins >= len(told):
        _begin(hub, late)
    newest = max(told, key=lambda one: (one.epoch, one.version), default=None)
    for stream in (early, late):
        found = _read(stream)
        places = [(one.epoch, one.version) for one in found]
        assert places == sorted(set(places))
        assert (found[-1] if found else None) == newest


def test_counts__of_one_user_are_no_others() -> None:
    """Users who are not here have none, and they are forgotten with the last stream."""
    hub, stream = _hub(), _stream()
    hub.add(stream)
    hub.receive_counts("u1", Counts(1, 1, 1, 1))
    hub.receive_counts("u2", Counts(2, 2, 2, 2))
    assert hub.counts_of("u1") == Counts(1, 1, 1, 1)
    assert hub.counts_of("u2") is None
    hub.remove(stream)
    assert hub.counts_of("u1") is None


def test_counts__have_no_place_among_the_events() -> None:
    """A client that reads them is where it was."""
    hub, stream = _hub(), _stream()
    hub.add(stream)
    _begin(hub, stream)
    hub.receive_counts("u1", Counts(1, 0, 3, 2))
    messages = list(iter(stream.take, None))
    assert messages[-1].sse == (
        b'event: counts\ndata: {"unread":1,"unseen":0,"version":3,"epoch":2}\n\n'
    )
