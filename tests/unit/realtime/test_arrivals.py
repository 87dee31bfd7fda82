"""Clients that come and go: once all is settled, presence is that of those who are here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.model.cursor import BEGINNING, Cursor
from galaxy_notify.realtime.arrivals import Arrival, Arrivals
from galaxy_notify.realtime.attendance import Attendance, Attended, Read
from galaxy_notify.realtime.hub import Hub
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.redis_client.faults import NO_DEPLOYMENT, RedisFault
from galaxy_notify.redis_state.recent import RecentPlace
from galaxy_notify.redis_state.words import Word
from galaxy_notify.telemetry import Telemetry

_TOP = Cursor("e", 3, "abcd")


class _Attendance:
    """The presence as Redis has it; something else may happen before and after each call."""

    def __init__(self, meanwhile: Callable[[], object] = bool) -> None:
        self.present: set[str] = set()
        self.refused: set[str] = set()
        self.fails = False
        self.answer: Read | RedisFault = Read(Word.READ, _TOP, ())
        self._meanwhile = meanwhile

    async def attend(self, users: Sequence[str]) -> Mapping[str, Attended]:
        self._enter()
        noted = [user for user in users if user not in self.refused]
        self.present.update(noted)
        self._meanwhile()
        return dict.fromkeys(noted, Attended(_TOP, 0))

    async def leave(self, users: Sequence[str]) -> None:
        self._enter()
        self.present.difference_update(users)
        self._meanwhile()

    async def read(self, places: Sequence[RecentPlace]) -> Sequence[Read | RedisFault]:
        self._meanwhile()
        return [self.answer for _ in places]

    def _enter(self) -> None:
        self._meanwhile()
        if self.fails:
            raise RedisFault(NO_DEPLOYMENT)


class _Place:
    """Arrivals on a presence of this test's own."""

    def __init__(self, meanwhile: Callable[[], object] = bool) -> None:
        self.attendance = _Attendance(meanwhile)
        self.hub = Hub(0.1, bool)
        attendance = cast("Attendance", self.attendance)
        self.arrivals = Arrivals(attendance, self.hub, Telemetry.off())

    def come(self, user: str, cursor: Cursor | None = None) -> Stream:
        stream = Stream(user, BufferLimits(64, 1 << 18))
        self.arrivals.add(Arrival(stream, cursor))
        return stream

    def do(self, step: str, user: str, cursor: Cursor | None) -> None:
        streams = self.hub.streams_of(user)
        if step == "come":
            self.come(user, cursor)
        elif step == "renew":
            # A renewal that began while the user was here.
            self.attendance.present.add(user)
            self.arrivals.renewed([user])
        elif streams:
            self.arrivals.remove(streams[0])

    def kinds(self, stream: Stream) -> list[str]:
        found = []
        while (message := stream.take()) is not None:
            found.append(message.kind)
        return found


_STEPS = st.lists(
    st.tuples(st.sampled_from(("come", "go", "renew")), st.sampled_from(("a", "b", "c"))),
    max_size=4,
)


@given(st.lists(_STEPS, max_size=12), st.sampled_from((None, _TOP)))
def test_presence__is_that_of_the_users_with_streams(
    turns: list[list[tuple[str, str]]], cursor: Cursor | None
) -> None:
    """In whatever order clients come and go, also while a call is on its way."""
    coming = iter(turns)

    def meanwhile() -> None:
        for step, user in next(coming, []):
            place.do(step, user, cursor)

    place = _Place(meanwhile)

    async def settle() -> None:
        for _ in range(40):
            await place.arrivals.settle()

    asyncio.run(settle())
    assert place.attendance.present == set(place.hub.users)
    assert not place.arrivals.left
    streams = [stream for user in place.hub.users for stream in place.hub.streams_of(user)]
    assert all(stream.is_live for stream in streams)
    assert all(place.kinds(stream) == ["hello"] for stream in streams)


def test_settle__that_failed_is_made_up_for() -> None:
    """Neither those who came nor those who left are forgotten."""

    async def scenario() -> None:
        place = _Place()
        gone, here = place.come("a"), place.come("b", _TOP)
        await place.arrivals.settle()
        place.attendance.fails = True
        place.arrivals.remove(gone)
        late = place.come("c")
        for _ in range(2):
            try:
                await place.arrivals.settle()
            except RedisFault:
                continue
        assert place.attendance.present == {"a", "b"}
        place.attendance.fails = False
        assert await place.arrivals.settle()
        assert place.attendance.present == {"b", "c"}
        assert [place.kinds(one) for one in (here, late)] == [["hello"], ["hello"]]

    asyncio.run(scenario())


def test_client__whose_presence_is_refused_waits() -> None:
    """It is not begun: nobody would tell of its events. Others are."""

    async def scenario() -> None:
        place = _Place()
        place.attendance.refused = {"a"}
        refused, other = place.come("a"), place.come("b")
        assert not await place.arrivals.settle()
        assert (refused.is_live, other.is_live) == (False, True)
        place.attendance.refused = set()
        assert await place.arrivals.settle()
        assert refused.is_live

    asyncio.run(scenario())


def test_client__whose_list_cannot_be_read_is_behind_its_cursor() -> None:
    """It is live, and what it missed is read later."""

    async def scenario() -> None:
        place = _Place()
        place.attendance.answer = RedisFault(NO_DEPLOYMENT)
        behind = place.come("a", Cursor("e", 1, "0001"))
        await place.arrivals.settle()
        assert behind.cursor == Cursor("e", 1, "0001")
        assert place.hub.due_in_s() is not None

    asyncio.run(scenario())


def test_client__that_cannot_resume_is_reset_to_the_top() -> None:
    """Its hello and the reset have the same place."""

    async def scenario() -> None:
        place = _Place()
        place.attendance.answer = Read(Word.TRIMMED, _TOP, ())
        stream = place.come("a", BEGINNING)
        await place.arrivals.settle()
        assert stream.cursor == _TOP
        assert place.kinds(stream) == ["hello", "reset"]

    asyncio.run(scenario())
