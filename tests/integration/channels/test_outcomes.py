"""What becomes of routes of external channels: each outcome, on a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.endings import DueRoute
from galaxy_notify.redis_state.worker_process import EXTERNAL
from tests.support.channel_world import (
    BLOCKED,
    BUSY,
    DELIVERED,
    GONE,
    MINE,
    REFUSED,
    SILENT,
    UNREACHABLE,
    ChannelWorld,
    channel_sections,
    world_of,
)
from tests.support.deployment import Deploy
from tests.support.servers import Server
from tests.support.wait import until

QUICK = {"backoff_min_ms": 1, "backoff_max_ms": 1}
MakeWorld = Callable[..., ChannelWorld]


@pytest.fixture
def make(any_server: Server, deploy: Deploy) -> MakeWorld:
    """Make a process that serves a channel with these fields."""
    return lambda **fields: world_of(deploy(any_server, **channel_sections(**fields)))


def _run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_delivered__is_final_and_counted(make: MakeWorld) -> None:
    """What was sent is delivered, counts as published too, and has an entry for the feed."""
    world = make()

    async def scenario() -> None:
        (member,) = world.notify("u1")
        async with world.working():
            await world.until_status(member, "delivered")
        (sent,) = world.kind.sent
        assert (sent.user_id, sent.attempt, sent.channel) == ("u1", 1, "mine")
        assert sent.event_id == member
        deployment = world.deployment
        assert (deployment.total("delivered"), deployment.total("published")) == (1, 1)
        entries: Any = deployment.client.xrange(deployment.keys.deliveries)
        ((_, entry),) = entries
        assert (entry[b"outcome"], entry[b"user_id"]) == (b"delivered", b"u1")
        assert world.kind.closed

    _run(scenario())


@pytest.mark.parametrize(
    ("answer", "status", "failure"),
    [
        (REFUSED, "dead_letter", "delivery_refused"),
        (BLOCKED, "dead_letter", "address_blocked"),
        (GONE, "skipped", "endpoint_disabled"),
    ],
    ids=["refused", "blocked", "gone"],
)
def test_permanent_failures__end_a_route_at_once(
    make: MakeWorld, answer: Attempt, status: str, failure: str
) -> None:
    """One attempt, and its class or reason; who wants nothing any more is disabled."""
    world = make()
    world.kind.answer = lambda _: answer

    async def scenario() -> None:
        (member,) = world.notify("u1")
        async with world.working():
            await world.until_status(member, status)
        route = world.deployment.route(member)
        assert route.history[-1].failure_class == failure
        assert len(world.kind.sent) == 1
        assert world.book.disabled == (["c1"] if answer is GONE else [])

    _run(scenario())


@pytest.mark.parametrize("why", ["no_contact", "endpoint_disabled", "unsubscribed", "read"])
def test_skipped__is_not_sent(make: MakeWorld, why: str) -> None:
    """A route for which there is a reason not to send it ends as skipped, with that reason."""
    world = make(unless_read=why == "read")
    world.book.put("u1", *([] if why == "no_contact" else ["a"]), filtered=why == "unsubscribed")

    async def has_read(due: DueRoute) -> bool:
        return due.user_id == "u1"

    world.has_read = has_read

    async def scenario() -> None:
        if why == "endpoint_disabled":
            await world.book.disable("u1", world.book.users["u1"][0], "gone")
        (member,) = world.notify("u1")
        async with world.working():
            await world.until_status(member, "skipped")
        assert world.deployment.route(member).history[-1].failure_class == why
        assert world.kind.sent == []

    _run(scenario())


def test_retries__follow_the_schedule_and_end(make: MakeWorld) -> None:
    """A route is tried once, and once more for each entry of the schedule; ids stay the same."""
    world = make(schedule_ms=[1, 1])
    world.kind.answer = lambda _: BUSY

    async def scenario() -> None:
        (member,) = world.notify("u1")
        async with world.working():
            await world.until_status(member, "dead_letter")
        assert [one.attempt for one in world.kind.sent] == [1, 2, 3]
        assert {one.event_id for one in world.kind.sent} == {member}
        failure = world.deployment.route(member).failure
        assert failure
        assert (failure.failure_class, failure.message) == ("delivery_failed", "it answered 503")

    _run(scenario())


def test_retry_after__is_honoured(make: MakeWorld) -> None:
    """The other side says when to come again, up to the longest delay of the schedule."""
    world = make(schedule_ms=[1, 500_000])
    world.kind.answer = lambda _: BUSY._replace(retry_after_ms=300_000)

    async def scenario() -> None:
        before = world.deployment.now()
        (member,) = world.notify("u1")
        async with world.working():
            await world.until_status(member, "failed")
        due = world.deployment.route(member).due_at_ms
        assert before + 300_000 <= due <= world.deployment.now() + 300_000

    _run(scenario())


def test_several_addresses__those_that_have_it_are_not_sent_to_again(make: MakeWorld) -> None:
    """All are sent to at once; a retry goes to the rest, also from another process."""
    world = make(**QUICK)
    world.book.put("u1", "a", "b", "c")
    tries = {"b": 2, "c": 3}

    def answer(delivery: Delivery) -> Attempt:
        return BUSY if delivery.attempt < tries.get(delivery.address, 1) else DELIVERED

    world.kind.answer = answer

    async def scenario() -> None:
        (member,) = world.notify("u1")
        async with world.working():
            await world.until_status(member, "delivered")
        assert sorted(world.kind.addresses) == ["a", "b", "b", "c", "c", "c"]
        assert {one.event_id for one in world.kind.sent} == {member}

    _run(scenario())


def test_several_addresses__one_that_had_it_makes_it_delivered(make: MakeWorld) -> None:
    """The others may refuse it, or be gone before the retry: it was delivered all the same."""
    world = make(**QUICK)
    world.book.put("u1", "a", "b")
    world.book.put("u2", "a", "b")

    def answer(delivery: Delivery) -> Attempt:
        if delivery.address == "a":
            return DELIVERED
        if delivery.user_id == "u1":
            return REFUSED
        world.book.users["u2"] = []  # both are removed before the next attempt
        return BUSY

    world.kind.answer = answer

    async def scenario() -> None:
        members = world.notify("u1", "u2")
        async with world.working():
            for member in members:
                await world.until_status(member, "delivered")
        first, second = (world.deployment.route(member).history[-1] for member in members)
        assert first.message == "1 of its addresses did not take it"
        assert second.message == "its other addresses do not get it: no_contact"

    _run(scenario())


def test_at_most_once__what_may_have_arrived_is_not_repeated(make: MakeWorld) -> None:
    """Without an answer it is a dead letter; what never left is tried again."""
    world = make(delivery="at_most_once", **QUICK)

    def answer(delivery: Delivery) -> Attempt:
        if delivery.user_id == "u1":
            return SILENT
        return UNREACHABLE if delivery.attempt == 1 else DELIVERED

    world.kind.answer = answer

    async def scenario() -> None:
        silent, unreachable = world.notify("u1", "u2")
        async with world.working():
            await world.until_status(silent, "dead_letter")
            await world.until_status(unreachable, "delivered")
        failure = world.deployment.route(silent).failure
        assert failure
        assert failure.failure_class == "delivery_unknown"
        assert sorted(world.kind.users) == ["u1", "u2", "u2"]

    _run(scenario())


def test_expired__is_not_sent_any_more(make: MakeWorld) -> None:
    """A retry beyond the expiry is not waited for."""
    world = make(schedule_ms=[86_400_000])
    world.kind.answer = lambda _: BUSY

    async def scenario() -> None:
        end = world.deployment.now() + 3_600_000
        (member,) = world.notify("u1", expires_at=end)
        async with world.working():
            await world.until_status(member, "expired")
        assert len(world.kind.sent) == 1

    _run(scenario())


def test_max_late__a_host_that_stays_silent_makes_dead_letters(make: MakeWorld) -> None:
    """Its routes wait for it, without attempts; the breaker opens, and the time ends.

    Each rest ends with an attempt for one of them, which it then has failed: there are enough for
    some to be late while the host rests.
    """
    world = make(max_late_ms=1000, schedule_ms=[86_400_000], per_host=1, concurrency=1)
    users = [f"u{number}" for number in range(30)]
    world.book.users = {}
    for user in users:
        world.book.put(user, "silent")
    world.kind.answer = lambda _: UNREACHABLE

    async def scenario() -> None:
        members = world.notify(*users)

        def dead() -> list[str]:
            return [one for one in members if one in world.deployment.dead("mine")]

        async with world.working():
            await until(lambda: len(world.kind.sent) >= 5, "the host rests")
            await until(dead, "one has waited too long")
            about = world.publisher.about
            shown = json.dumps({"mine": [MINE, 1]})
            await until(lambda: about.get(EXTERNAL) == shown, "the breaker is shown")
        failure = world.deployment.route(dead()[0]).failure
        assert failure
        assert failure.failure_class == "endpoint_down"

    _run(scenario())
