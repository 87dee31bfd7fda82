"""Redis is away, refuses, or loses replies: nothing is lost, and one process repeats nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from tests.support.channel_world import DELIVERED, ChannelWorld, channel_sections, world_of
from tests.support.deployment import Deploy
from tests.support.proxy import Loss, Proxy, proxied
from tests.support.servers import Server
from tests.support.telemetry import Lines
from tests.support.wait import until

HOUR_MS = 3_600_000
MakeWorld = Callable[..., ChannelWorld]


@pytest.fixture
def proxy(any_server: Server) -> Iterator[Proxy]:
    """Stand between the channels and the server."""
    with proxied(any_server.socket) as made:
        yield made


@pytest.fixture
def make(any_server: Server, proxy: Proxy, deploy: Deploy) -> MakeWorld:
    """Make a process that serves a channel with these fields, behind the proxy."""
    return lambda **fields: world_of(deploy(any_server, **channel_sections(**fields)), proxy.url)


@pytest.mark.parametrize("how", ["reset", "silence"])
@pytest.mark.parametrize("name", ["route_claim", "route_end"])
def test_lost_reply__sends_once_and_loses_no_route(
    make: MakeWorld, proxy: Proxy, name: str, how: Loss
) -> None:
    """A claim is repeated with its token, an outcome with its route: no lease has to expire."""
    world = make(poll_ms=HOUR_MS, concurrency=2)

    async def scenario() -> None:
        members = world.notify("u1", "u2", "u3")
        proxy.lose_reply(name, how)
        async with world.working():
            for member in members:
                await world.until_status(member, "delivered")
        assert sorted(world.kind.users) == ["u1", "u2", "u3"]
        assert world.deployment.total("delivered") == 3
        assert world.deployment.total("abandoned") == 0

    asyncio.run(scenario())


def test_outage__is_waited_out_before_and_behind_a_send(make: MakeWorld, proxy: Proxy) -> None:
    """Redis goes away during a send: its outcome is recorded, and the next routes are claimed."""
    world = make(poll_ms=HOUR_MS)
    away = ExitStack()

    def answer(delivery: Delivery) -> Attempt:
        if delivery.user_id == "u1":
            away.enter_context(proxy.down())
        return DELIVERED

    world.kind.answer = answer

    async def scenario() -> None:
        (first,) = world.notify("u1")
        async with world.working():
            await until(lambda: world.kind.sent, "the first is sent")
            (second,) = world.notify("u2")
            tries = proxy.connections
            await until(lambda: proxy.connections > tries + 3, "it has been tried")
            away.close()
            await world.until_status(first, "delivered")
            await world.until_status(second, "delivered")
        assert world.kind.users == ["u1", "u2"]
        assert world.deployment.total("abandoned") == 0

    asyncio.run(scenario())


def test_outage_beyond_the_lease__what_was_sent_is_known_and_not_sent_again(
    make: MakeWorld, proxy: Proxy, lines: Lines
) -> None:
    """The outcome is kept; when the route is claimed again, it is recorded and nothing is sent."""
    world = make(lease_ttl_ms=2000, timeout_ms=1000, poll_ms=100)
    away = ExitStack()

    def answer(_: Delivery) -> Attempt:
        away.enter_context(proxy.down())
        return DELIVERED

    world.kind.answer = answer

    async def scenario() -> None:
        (member,) = world.notify("u1")
        async with world.working():
            kept = "outcome kept until the route is claimed again"
            await until(lambda: kept in [line["event"] for line in lines()], "it is kept")
            assert str(world.deployment.route(member).status) == "pending"
            away.close()
            await world.until_status(member, "delivered")
        assert world.kind.users == ["u1"]
        assert world.deployment.total("delivered") == 1
        assert world.deployment.total("abandoned") >= 1

    asyncio.run(scenario())


def test_outage_of_contacts__keeps_nobody_else_waiting(
    any_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """The contacts of some users cannot be read: their routes wait, without attempts."""
    world = world_of(deploy(any_server, **channel_sections(poll_ms=HOUR_MS, concurrency=1)))
    fault = RedisFault(Fault("connection", Remedy.RESOLVE, "refused"))
    asked: list[str] = []
    of = world.book.of

    async def failing(user: str, channel: str) -> object:
        if user == "away" and len(asked) < 4:
            asked.append(user)
            raise fault
        return await of(user, channel)

    world.book.of = failing  # type: ignore[method-assign,assignment]

    async def scenario() -> None:
        (away,) = world.notify("away")
        (fine,) = world.notify("fine")
        async with world.working():
            await world.until_status(fine, "delivered")
            assert world.deployment.route(away).attempts == 0
            await world.until_status(away, "delivered")
        assert sorted(world.kind.users) == ["away", "fine"]
        assert "redis unavailable" not in [line["event"] for line in lines()]

    asyncio.run(scenario())


def test_outage__does_not_end_a_channel_with_a_rate(make: MakeWorld, proxy: Proxy) -> None:
    """The rate is asked of Redis as well: its fault is waited out."""
    world = make(rate="1000/s", poll_ms=10)

    async def scenario() -> None:
        async with world.working():
            with proxy.down():
                tries = proxy.connections
                await until(lambda: proxy.connections > tries + 3, "it has been tried")
            (member,) = world.notify("u1")
            await world.until_status(member, "delivered")

    asyncio.run(scenario())


def test_full_server__records_what_was_sent(any_server: Server, deploy: Deploy) -> None:
    """At maxmemory nothing new is claimed, and what was sent is recorded all the same."""
    deployment = deploy(any_server, **channel_sections(concurrency=1))
    world = world_of(deployment)

    def answer(_: Delivery) -> Attempt:
        deployment.client.config_set("maxmemory", 1)
        return DELIVERED

    world.kind.answer = answer

    async def scenario() -> None:
        (member,) = world.notify("u1")
        try:
            async with world.working():
                await world.until_status(member, "delivered")
                assert world.kind.users == ["u1"]
        finally:
            deployment.client.config_set("maxmemory", 0)

    asyncio.run(scenario())


def test_drain__ends_while_redis_is_away(make: MakeWorld, proxy: Proxy) -> None:
    """At a stop, an outcome that cannot be recorded is repeated until its lease ends, no longer."""
    world = make(lease_ttl_ms=2000, timeout_ms=1000)
    away = ExitStack()

    def answer(_: Delivery) -> Attempt:
        away.enter_context(proxy.down())
        return DELIVERED

    world.kind.answer = answer

    async def scenario() -> None:
        (member,) = world.notify("u1")
        async with world.working():
            await until(lambda: world.kind.sent, "it is sent")
        away.close()
        assert str(world.deployment.route(member).status) == "pending"

    asyncio.run(scenario())
