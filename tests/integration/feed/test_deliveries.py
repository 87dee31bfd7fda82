"""The delivery stream: which channels an item was delivered by, and entries without an item."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from galaxy_notify.feed import deliveries as module
from galaxy_notify.redis_state.deliveries import delivery_keys
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from tests.support.deliveries import deliver, left, via, via_of, waiting
from tests.support.delivery_readers import Place, run_scenario
from tests.support.events import KEYS, notification_id, parked
from tests.support.feeds import drift
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.wait import until

STREAM = KEYS.deliveries


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the stream, and for what others have left, all the time."""
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    monkeypatch.setattr(module, "_STALE_S", 0.0)
    monkeypatch.setattr(module, "_OWN_MS", 0)
    monkeypatch.setattr(module, "_BLOCK_MS", 20)


def test_deliveries__are_added_once(server: Server, database: Postgres) -> None:
    """However often they come, and from however many channels; the counts stay."""

    async def scenario(place: Place) -> None:
        await place.insert(1, 2, 3)
        counts = await place.store.counts("u1")
        deliver(place.client, [1, 1, 2])
        deliver(place.client, [1], changed={"channel": "webhook"})
        deliver(place.client, [2], changed={"notification_id": f"{notification_id(2)}.7"})
        deliver(place.client, [3], changed={"outcome": "skipped", "reason": "no_contact"})
        async with place.reading():
            await place.ended(added=5, passed=1)
            deliver(place.client, [1, 2])
            await place.ended(added=7, passed=1)
        assert via(database) == via_of([1], "email", "webhook") | via_of([2], "email")
        assert await place.store.counts("u1") == counts
        assert drift(database) == []

    run_scenario(server, database, scenario)


def test_stream__that_nobody_has_written(server: Server, database: Postgres) -> None:
    """It is not made by reading; once there is one, it is read from its beginning."""

    async def scenario(place: Place) -> None:
        await place.insert(1)
        async with place.reading():
            await asyncio.to_thread(deliver, place.client, [1])
            await place.ended(added=1)
        async with place.reading():
            pass
        place.client.delete(STREAM)
        async with place.reading():
            pass
        assert place.client.exists(STREAM) == 0
        assert via(database) == via_of([1], "email")

    run_scenario(server, database, scenario)


def test_stream__that_is_deleted(server: Server, database: Postgres) -> None:
    """Its group is made again with it."""

    async def scenario(place: Place) -> None:
        await place.insert(1, 2)
        deliver(place.client, [1])
        async with place.reading():
            await place.ended(added=1)
            place.client.delete(STREAM)
            deliver(place.client, [2])
            await place.ended(added=2)
        assert via(database) == via_of([1, 2], "email")

    run_scenario(server, database, scenario)


def test_garbled__are_parked(server: Server, database: Postgres) -> None:
    """With the reason, and their neighbours are not held up."""

    async def scenario(place: Place) -> None:
        await place.insert(1, 2)
        deliver(place.client, [1])
        place.client.xadd(STREAM, {"nothing": "of ours"})
        deliver(place.client, [3], changed={"user_id": b"\xff\0"})
        deliver(place.client, [4], changed={"channel": "E-Mail"})
        deliver(place.client, [2])
        async with place.reading():
            await place.ended(added=2, parked=3)
        assert via(database) == via_of([1, 2], "email")
        found = parked(place.client)
        wanted = [b"outcome: missing", b"user_id: invalid", b"channel: invalid"]
        assert [one[b"reason"] for one in found] == wanted
        assert {one[b"group"] for one in found} == {FEED_GROUP.encode()}
        assert found[0][b"entry.nothing"] == b"of ours"

    run_scenario(server, database, scenario)


def test_item__that_comes_later(server: Server, database: Postgres) -> None:
    """The entry stays pending, and is tried again after a second; others do not wait for it."""

    async def scenario(place: Place) -> None:
        await place.insert(2)
        deliver(place.client, [1, 2])
        async with place.reading():
            await until(lambda: via(database) == via_of([2], "email"), "the other one is added")
            await until(lambda: waiting(place.client) == 1, "it waits")
            await place.insert(1)
            await place.ended(added=2)
        assert via(database) == via_of([1, 2], "email")

    run_scenario(server, database, scenario)


def test_item__that_never_comes(server: Server, database: Postgres) -> None:
    """After ten minutes the entry is given up and counted; one of a retracted item ends at once."""

    async def scenario(place: Place) -> None:
        await place.insert(2, 3)
        await place.store.retract(notification_id(3), None)
        deliver(place.client, [1, 2, 3])
        async with place.reading():
            await until(lambda: waiting(place.client) == 1, "it waits")

            def is_given_up() -> bool:
                place.now += 30
                return bool(place.telemetry.results.get("given_up"))

            await until(is_given_up, "it is given up")
            assert place.now >= 600
            await place.ended(added=2, given_up=1)
        assert via(database) == via_of([2], "email")
        assert parked(place.client) == []

    run_scenario(server, database, scenario)


def test_behind__gives_nothing_up(server: Server, database: Postgres) -> None:
    """While items are on their way, however many entries wait for however long."""

    async def scenario(place: Place) -> None:
        place.is_behind, place.most = True, 100
        deliver(place.client, range(700))
        async with place.reading():
            await until(lambda: waiting(place.client) == 500, "a batch waits, and no other is read")
            await until(lambda: place.telemetry.batches == 1, "it was looked for")
            place.now += 10_000
            await until(lambda: place.telemetry.batches == 2, "and once more")
            assert waiting(place.client) == 500
            await place.insert(*range(700))
            place.is_behind = False
            await place.ended(added=700)
        assert via(database) == via_of(range(700), "email")

    run_scenario(server, database, scenario)


def test_many__without_an_item(server: Server, database: Postgres) -> None:
    """Only so many wait; those that came first are given up, and what has an item is added."""

    async def scenario(place: Place) -> None:
        place.most = 100
        deliver(place.client, range(1000, 1900))
        await place.insert(1)
        deliver(place.client, [1])
        async with place.reading():
            await until(lambda: via(database) == via_of([1], "email"), "it is added")
            await until(
                lambda: place.telemetry.results.get("given_up") == 800, "the others are not"
            )
            await until(lambda: waiting(place.client) == 100, "the last ones wait")

    run_scenario(server, database, scenario)


def test_stop__leaves_what_waits_to_others(server: Server, database: Postgres) -> None:
    """Another writer has it at once, and the name leaves the group when it can."""

    async def scenario(place: Place) -> None:
        deliver(place.client, [1])
        async with place.reading("first"):
            await until(lambda: waiting(place.client) == 1, "it waits")
        await place.insert(1)
        async with place.reading("second"):
            await place.ended(added=1)
        names = place.client.xinfo_consumers(STREAM, FEED_GROUP)
        assert [one["name"] for one in names] == [b"first"]
        assert via(database) == via_of([1], "email")

    run_scenario(server, database, scenario)


def test_writers__two(server: Server, database: Postgres) -> None:
    """They share the entries; one that both have is added once."""

    async def scenario(place: Place) -> None:
        place.is_behind = True
        await place.insert(*range(0, 2000, 2))
        async with place.reading("first"), place.reading("second"):
            for begin in range(0, 2000, 100):
                deliver(place.client, range(begin, begin + 100))
            # Where both add to the items of a user, one of them comes back later.
            await until(lambda: place.later() and len(via(database)) == 1000, "what is there is")
            await place.insert(*range(1, 2000, 2))
            await until(lambda: place.later() and len(via(database)) == 2000, "and the rest")
            await until(lambda: left(place.client) == 0, "all are acknowledged")
        assert via(database) == via_of(range(2000), "email")
        assert place.client.xpending(STREAM, FEED_GROUP)["pending"] == 0

    run_scenario(server, database, scenario)


def test_entry__that_was_trimmed(server: Server, database: Postgres) -> None:
    """It does not stay pending, whatever the server does with such entries."""

    async def scenario(place: Place) -> None:
        deliver(place.client, [1, 2])
        member = delivery_keys(KEYS)
        place.client.xgroup_create(member.stream, FEED_GROUP, "0")
        place.client.xreadgroup(FEED_GROUP, "gone", {STREAM: ">"})
        idle = place.client.xpending_range(STREAM, FEED_GROUP, "-", "+", 10)
        ids: list[Any] = [one["message_id"] for one in idle]
        place.client.xclaim(STREAM, FEED_GROUP, "gone", 0, ids, idle=3_600_000, justid=True)
        place.client.xtrim(STREAM, maxlen=1, approximate=False)
        await place.insert(1, 2)
        async with place.reading():
            await place.ended(added=1)
        assert via(database) == via_of([2], "email")

    run_scenario(server, database, scenario)
