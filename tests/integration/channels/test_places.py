"""How the places of a channel take their routes: by turns, suspects, pauses, rates and wake-ups."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.operations.pausing import pause, resume
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import leases
from tests.support.channel_world import DELIVERED, ChannelWorld, channel_sections, world_of
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server
from tests.support.wait import until

HOUR_MS = 3_600_000
MakeWorld = Callable[..., ChannelWorld]


@pytest.fixture
def make(any_server: Server, deploy: Deploy) -> MakeWorld:
    """Make a process that serves channels with these fields."""
    return lambda *channels, **fields: world_of(
        deploy(any_server, **channel_sections(channels or ("mine",), **fields))
    )


def _abandon(deployment: DeploymentFixture, times: int) -> None:
    """Let leases on all that is due expire so often."""
    for _ in range(times):
        assert deployment.claim("mine", 0)
        deployment.move_leases(1, "mine")


def test_wake_up__brings_a_route_to_a_place_that_rests(make: MakeWorld) -> None:
    """With a poll interval of an hour, each accept is sent at once, on every channel and shard."""
    world = make("mine", "other", shards=2, poll_ms=HOUR_MS)

    async def scenario() -> None:
        async with world.working() as part:
            workers = part._workers.values()
            for round_number in range(3):
                await until(lambda: all(one.sources.rests for one in workers), "all rest")
                for channel in ("mine", "other"):
                    for user in range(4):
                        (member,) = world.notify(f"u{round_number}-{user}", channel=channel)
                        await world.until_status(member, "delivered")

    asyncio.run(scenario())


def test_due_time__is_slept_until(make: MakeWorld) -> None:
    """With a poll interval of an hour, a retry and a scheduled route are sent when they are due."""
    world = make(poll_ms=HOUR_MS, schedule_ms=[300])
    world.kind.answer = lambda delivery: (
        DELIVERED if delivery.attempt == 2 else Attempt("transient", "http_status", "", 503)
    )

    async def scenario() -> None:
        async with world.working():
            for later_ms in (0, 500):
                due = world.deployment.now() + later_ms
                (member,) = world.notify("u1", due_at=due)
                await world.until_status(member, "delivered")

    asyncio.run(scenario())


def test_places__send_side_by_side_and_no_more(make: MakeWorld) -> None:
    """As many are sent at the same time as there are places; a lease stands for each, no more."""
    world = make(concurrency=3)
    held: set[str] = set()
    release = asyncio.Event()

    async def answer(delivery: Delivery) -> Attempt:
        held.add(delivery.user_id)
        await release.wait()
        return DELIVERED

    world.kind.answer = answer

    async def scenario() -> None:
        members = world.notify(*(f"u{n}" for n in range(10)))
        async with world.working():
            await until(lambda: len(held) == 3, "three are sent at a time")
            assert len(world.deployment.leases("mine")) == 3
            release.set()
            for member in members:
                await world.until_status(member, "delivered")
        assert Counter(world.kind.users) == Counter(f"u{n}" for n in range(10))

    asyncio.run(scenario())


def test_suspect__takes_one_place_while_the_others_go_on(make: MakeWorld) -> None:
    """A route that was abandoned twice is sent alone in its place; nobody waits for it."""
    world = make(concurrency=2)
    release = asyncio.Event()

    async def answer(delivery: Delivery) -> Attempt:
        if delivery.user_id.startswith("suspect"):
            await release.wait()
        return DELIVERED

    world.kind.answer = answer

    async def scenario() -> None:
        suspect = world.notify("suspect")[0]
        _abandon(world.deployment, 2)
        others = world.notify(*(f"u{n}" for n in range(5)))
        async with world.working():
            await until(lambda: "suspect" in world.kind.users, "the suspect is being sent")
            for member in others:
                await world.until_status(member, "delivered")
            release.set()
            await world.until_status(suspect, "delivered")
        assert world.deployment.total("abandoned") == 2

    asyncio.run(scenario())


def test_many_suspects__are_all_sent(make: MakeWorld) -> None:
    """Where workers died with many routes, each of them is sent, one after the other."""
    world = make(poll_ms=HOUR_MS)

    async def scenario() -> None:
        members = world.notify(*(f"u{n}" for n in range(8)))
        _abandon(world.deployment, 2)
        async with world.working():
            for member in members:
                await world.until_status(member, "delivered")
        assert len(world.kind.sent) == 8

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("delivery", "times", "failure"),
    [("at_least_once", 5, "lease_abandoned"), ("at_most_once", 1, "delivery_unknown")],
)
def test_abandoned__ends_as_a_dead_letter(
    make: MakeWorld, delivery: str, times: int, failure: str
) -> None:
    """A route whose workers died is given up: after five of them, or after one."""
    world = make(delivery=delivery)

    async def scenario() -> None:
        (member,) = world.notify("u1")
        for _ in range(times):
            claimed = world.deployment.claim("mine", 0) or _claim_alone(world.deployment)
            assert claimed
            world.deployment.move_leases(1, "mine")
        async with world.working():
            await world.until_status(member, "dead_letter")
        found = world.deployment.route(member).failure
        assert found
        assert found.failure_class == failure
        assert world.kind.sent == []

    asyncio.run(scenario())


def _claim_alone(deployment: DeploymentFixture) -> bool:
    """Take a suspect as a worker would."""
    token = f"host-1-abcd:9:30000:{deployment.now()}"
    limits = leases.ClaimLimits(1, 30_000, 4 << 20, 300_000, 0)
    call = leases.route_claim(deployment.keys, "mine", token, limits, alone=True, now=None)
    return bool(leases.read_claim(run_sync(deployment.client, call), token).members)


def test_pause__lets_what_is_being_sent_end(make: MakeWorld) -> None:
    """A paused channel claims nothing more, the other one goes on; resumed, it goes on as well."""
    world = make("mine", "other", concurrency=1)
    release = asyncio.Event()

    async def answer(_: Delivery) -> Attempt:
        await release.wait()
        return DELIVERED

    world.kinds["mine"].answer = answer

    async def scenario() -> None:
        first, second = world.notify("u1", "u2")
        async with world.working():
            await until(lambda: world.kinds["mine"].sent, "the first is being sent")
            pause(world.deployment.connected, "mine")
            release.set()
            sent = first if world.kinds["mine"].users == ["u1"] else second
            await world.until_status(sent, "delivered")
            (other,) = world.notify("u3", channel="other")
            await world.until_status(other, "delivered")
            assert len(world.kinds["mine"].sent) == 1
            resume(world.deployment.connected, "mine")
            for member in (first, second):
                await world.until_status(member, "delivered")

    asyncio.run(scenario())


def test_rate__holds_over_two_processes(any_server: Server, deploy: Deploy) -> None:
    """Both together send no faster than the rate, on all shards."""
    deployment = deploy(any_server, **channel_sections(shards=2, rate="20/s"))
    worlds = [world_of(deployment, name=f"host-{n}-abcd") for n in (7, 8)]

    async def scenario() -> None:
        members = worlds[0].notify(*(f"u{n}" for n in range(16)))
        began = deployment.now()
        async with worlds[0].working(), worlds[1].working():
            for member in members:
                await worlds[0].until_status(member, "delivered")
        took_ms = deployment.now() - began
        sent = [user for world in worlds for user in world.kind.users]
        assert Counter(sent) == Counter(f"u{n}" for n in range(16))
        # A burst of 2 at the start, and one each 50 ms behind it.
        assert took_ms >= (16 - 2 - 1) * 50

    asyncio.run(scenario())


def test_drain__waits_for_what_is_sent_and_begins_nothing(make: MakeWorld) -> None:
    """At a stop, what is being sent ends and is recorded; what waits keeps waiting, unleased."""
    world = make(concurrency=1)
    release = asyncio.Event()

    async def answer(_: Delivery) -> Attempt:
        await release.wait()
        return DELIVERED

    world.kind.answer = answer

    async def scenario() -> None:
        members = world.notify("u1", "u2")
        async with world.working() as part:
            await until(lambda: world.kind.sent, "one is being sent")
            part.stop()
            assert not world.kind.closed
            release.set()
        sent = members[0] if world.kind.users == ["u1"] else members[1]
        (left,) = set(members) - {sent}
        assert str(world.deployment.route(sent).status) == "delivered"
        assert str(world.deployment.route(left).status) == "pending"
        assert world.deployment.leases("mine") == {}

    asyncio.run(scenario())


def test_unusable_routes__do_not_stop_their_neighbours(make: MakeWorld) -> None:
    """A newer format is left alone, a corrupt state buried, a member without a hash removed."""
    world = make()
    deployment = world.deployment
    deployment.whole = False

    async def scenario() -> None:
        newer, corrupt, gone, fine = world.notify("newer", "corrupt", "gone", "fine")
        hash_key = deployment.keys.notification(newer.partition("/")[0])
        deployment.client.hset(hash_key, "mine:newer", b"9" + (deployment.state(newer) or b"")[1:])
        deployment.client.hset(hash_key, "mine:corrupt", b"1p" + b"x" * 26)
        vanished = f"{'f' * 32}/mine:gone"
        deployment.client.zadd(deployment.keys.schedule("mine"), {vanished: 1})
        async with world.working():
            await world.until_status(fine, "delivered")
            await world.until_status(gone, "delivered")
            await until(lambda: corrupt in deployment.dead("mine"), "it is buried")
            await until(lambda: vanished in deployment.orphans(), "it is removed")
            now = deployment.now()
            await until(lambda: deployment.due("mine").get(newer, 0) > now, "it waits")
        assert sorted(world.kind.users) == ["fine", "gone"]
        assert "newer" not in "".join(deployment.leases("mine"))

    asyncio.run(scenario())
