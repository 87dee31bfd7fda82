"""Batches on their way to Postgres: halves of what is refused, and users that are locked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from galaxy_notify.errors import Corrupt, FeedRefused, FeedUnavailable
from galaxy_notify.feed.locked_users import LockedUsers
from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed.rows import EventRows
from galaxy_notify.feed_store.faults import LOCKED
from galaxy_notify.feed_store.inserting import Inserted
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.gateway import Event
from galaxy_notify.gateway.event import decode_event
from galaxy_notify.gateway.handler import LeftForLater
from galaxy_notify.model.feed import Counts, NewItem
from galaxy_notify.redis_client.async_retries import StopFlag
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.telemetry import Telemetry
from tests.support.events import KEYS, event_fields, notification_id

COUNTS = Counts(1, 1, 1, 1)


class _Store:
    """Refuses the items of some notifications, and finds some users locked."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.locked: set[str] = set()
        #: Users whom another transaction adds just now.
        self.added: set[str] = set()
        self.calls: list[list[str]] = []
        self.rows: list[NewItem] = []

    async def ready(self) -> None: ...

    async def insert(self, items: Sequence[NewItem]) -> Inserted:
        self.calls.append([item.user_id for item in items])
        if any(item.notification_id in self.refused for item in items):
            raise FeedRefused("", "Postgres refuses the item: too long")
        if any(item.user_id in self.added for item in items):
            raise FeedUnavailable("a lock", code=LOCKED)
        free = [item for item in items if item.user_id not in self.locked]
        self.rows += free
        new = frozenset((item.user_id, item.notification_id) for item in free)
        blocked = frozenset(item.user_id for item in items) & self.locked
        return Inserted(new, {item.user_id: COUNTS for item in free}, blocked)


class _Marks:
    def __init__(self) -> None:
        self.users: set[str] = set()

    async def publish(self, counts: dict[str, Counts]) -> None:
        self.users |= counts.keys()


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class _Telemetry:
    def __init__(self) -> None:
        self.results: dict[str, int] = {}

    def feed_events(self, counts: Mapping[str, int]) -> None:
        self.results |= counts

    def feed_inserted(self, seconds: float) -> None: ...


class _Scene:
    """Rows on a store of a test; the clock of locked users is the test's."""

    def __init__(self) -> None:
        self.store, self.marks, self.clock = _Store(), _Marks(), _Clock()
        self.telemetry = _Telemetry()
        self._rows = EventRows(
            cast("FeedStore", self.store),
            cast("Marks", self.marks),
            frozenset({"in_app"}),
            PostgresOutage(StopFlag(), self.store.ready),
            cast("Telemetry", self.telemetry),
            LockedUsers(self.clock),
        )

    def write(self, *events: Event) -> dict[str, object]:
        return dict(asyncio.run(self._written(events)))

    async def _written(self, events: Sequence[Event]) -> Mapping[str, object]:
        return await self._rows(events)

    @property
    def numbers(self) -> list[int]:
        return sorted(int(item.notification_id, 16) for item in self.store.rows)


def _event(number: int, user: str = "u1", event_id: str = "", **fields: Any) -> Event:
    name = event_id or f"{notification_id(number)}/in_app:{user}"
    given = {"event_id": name, **fields}
    raw = {
        key.encode(): value if isinstance(value, bytes) else value.encode()
        for key, value in event_fields(number, user, **given).items()
    }
    return decode_event(Entry("1-1", raw, 1), KEYS.stream, KEYS.shard)


def test_rows__of_other_channels_are_none() -> None:
    """An event that the feed does not keep is done with."""
    scene = _Scene()
    assert scene.write(_event(1), _event(2, event_id=f"{notification_id(2)}/push:u1")) == {}
    assert scene.numbers == [1]
    assert scene.marks.users == {"u1"}


def test_rows__hold_what_the_event_says() -> None:
    """Each field of a row is that of the event; the id is without part and generation."""
    scene = _Scene()
    assert scene.write(_event(5, event_id=f"{notification_id(5)}.2/in_app:u1#3")) == {}
    (row,) = scene.store.rows
    assert row == NewItem(
        "u1",
        notification_id(5),
        "game.ready",
        "lobby",
        "info",
        "",
        "",
        b"\x81\xa6number\x05",
        1_900_000_000_000,
    )


def test_rows__isolate_what_is_refused() -> None:
    """Of a full batch only the refused ones fail, for good, within few calls."""
    scene = _Scene()
    scene.store.refused = {notification_id(number) for number in (0, 250, 251)}
    failed = scene.write(*(_event(number, f"u{number % 9}") for number in range(500)))
    assert set(failed) == {f"{notification_id(n)}/in_app:u{n % 9}" for n in (0, 250, 251)}
    assert all(isinstance(reason, Corrupt) for reason in failed.values())
    assert scene.numbers == [n for n in range(500) if n not in (0, 250, 251)]
    assert len(scene.store.calls) < 60


def test_rows__of_one_notification_are_one_item() -> None:
    """Parts and generations in one batch are one item; if it is refused, all of them are."""
    scene = _Scene()
    ids = [
        f"{notification_id(1)}{part}/in_app:u1{again}" for part, again in (("", ""), (".1", "#2"))
    ]
    assert scene.write(*(_event(1, event_id=name) for name in ids)) == {}
    assert scene.store.calls == [["u1"]]
    scene.store.refused = {notification_id(1)}
    assert scene.write(*(_event(1, event_id=name) for name in ids)).keys() == set(ids)


def test_rows__of_locked_users_are_tried_apart() -> None:
    """A locked user costs the others one call; then it is tried only by itself, and rests."""
    scene = _Scene()
    scene.store.locked = {"u2"}
    first, second, third = _event(1), _event(2, "u2"), _event(3, "u3")
    (reason,) = scene.write(first, second, third).values()
    assert isinstance(reason, LeftForLater)
    assert scene.numbers == [1, 3]
    scene.store.calls.clear()
    assert scene.write(_event(4), _event(5, "u2")).keys() == {_event(5, "u2").event_id}
    assert scene.store.calls == [["u1"]]
    assert len(scene.write(second)) == 1
    assert scene.store.calls == [["u1"]], "it rests"
    scene.clock.now = 10.0
    assert len(scene.write(second)) == 1
    assert scene.store.calls[1:] == [["u2"]]
    scene.store.locked, scene.clock.now = set(), 20.0
    assert scene.write(second, _event(5, "u2")) == {}
    assert scene.write(_event(6, "u2"), _event(7)) == {}
    assert scene.numbers == [1, 2, 3, 4, 5, 6, 7]


def test_rows__of_a_user_that_another_one_adds() -> None:
    """A lock that is no user's own is found by halves too, and leaves the others alone."""
    scene = _Scene()
    scene.store.added = {"u2"}
    failed = scene.write(*(_event(number, f"u{number % 4}") for number in range(16)))
    assert failed.keys() == {f"{notification_id(n)}/in_app:u2" for n in range(16) if n % 4 == 2}
    assert scene.numbers == [n for n in range(16) if n % 4 != 2]


def test_rows__of_what_cannot_be_read() -> None:
    """An unreadable payload, and a number that JSON does not have, are refused by themselves."""
    scene = _Scene()
    bad = [_event(1, payload_bytes=b"\xc1"), _event(2, payload_bytes=b'{"a": NaN}')]
    failed = scene.write(*bad, _event(3))
    assert failed.keys() == {event.event_id for event in bad}
    assert all(isinstance(reason, Corrupt) for reason in failed.values())
    assert scene.numbers == [3]


def test_rows__of_a_locked_user_that_are_refused() -> None:
    """Each event is counted as one thing, and parked or left, not both."""
    scene = _Scene()
    scene.store.locked, scene.store.refused = {"u2"}, {notification_id(1)}
    events = [_event(1, "u2"), _event(2, "u2"), _event(3)]
    failed = scene.write(*events)
    assert [type(failed.get(one.event_id)) for one in events] == [Corrupt, LeftForLater, type(None)]
    assert scene.telemetry.results == {"written": 1, "repeated": 0, "refused": 1, "left": 1}
