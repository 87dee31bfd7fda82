"""Rows D3 to D6: what may befall a gateway, and the stream in which it is told of events."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
import redis

from galaxy_notify.redis_state.keys import inbox_key
from tests.faults.conftest import NewDeliveryRun
from tests.faults.support.delivery_run import DeliveryRun, freeze, is_frozen, thaw
from tests.faults.support.gateways import FaultyGateway
from tests.support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.extended]

#: Taken over soon, renewed often: a minute of the usual settings in a few seconds.
QUICK: dict[str, Any] = {"realtime__reclaim_idle_ms": 1000, "realtime__presence_ttl_ms": 3000}


def inbox_of(gateway: FaultyGateway) -> str:
    """Return the inbox of the process that was started last."""
    return inbox_key("gn", gateway.lines("gateway started")[-1]["instance"])


@pytest.mark.parametrize("place", ["deliver", "tell", "ack"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_rowd3__killed_at_every_step(
    any_delivery_run: NewDeliveryRun, when: str, place: str
) -> None:
    """Another member delivers what one had begun; what was told to nobody is found."""
    one = any_delivery_run()

    async def scenario() -> None:
        one.gateway(consume=False, **QUICK)
        async with one.leaving():
            await one.connect()
            dying = one.gateway(f"{when}_{place}:kill", serve=False, **QUICK)
            for turn in range(3):
                await one.publish(range(turn * 200, turn * 200 + 200))
                await until(lambda: dying.process.poll() is not None, "it has died")
                dying.start_again(f"seed={turn},{when}_{place}:kill" if turn < 2 else "")
            await one.until_all_came()
            await one.until_at_the_tops()

    asyncio.run(scenario())
    one.assert_clean()
    one.figures.append(f"slowest event: {one.slowest_s():.1f} s, of them 1 s idle for each death")


@pytest.mark.parametrize("place", ["after_deliver", "after_tell"])
def test_rowd3__killed_with_its_clients(any_delivery_run: NewDeliveryRun, place: str) -> None:
    """Gateways that serve and deliver die in turns; their clients go on at others."""
    one = any_delivery_run()

    async def scenario() -> None:
        points = f"{place}:kill:0.2"
        gateways = [one.gateway(points, **QUICK) for _ in range(2)]
        deaths = 0
        async with one.leaving():
            await one.connect()
            for turn in range(40):
                await one.publish(range(turn * 20, turn * 20 + 20))
                for gateway in gateways:
                    if gateway.process.poll() is not None:
                        deaths += 1
                        gateway.start_again(f"seed={turn},{points}")
                await asyncio.sleep(0.1)
            for gateway in gateways:
                gateway.kill()
                gateway.start_again()
            await one.until_all_came()
        assert deaths > 0
        one.figures.append(f"{deaths} deaths; {one.silences()}")

    asyncio.run(scenario())
    one.assert_clean()


def test_rowd4__frozen_until_all_of_it_has_expired(any_delivery_run: NewDeliveryRun) -> None:
    """A gateway that was away for longer than its inbox lives catches up by the lists."""
    one = any_delivery_run()

    async def scenario() -> None:
        frozen = one.gateway()
        other = one.gateway()
        async with one.leaving():
            here = await one.connect(to=[frozen])
            await one.connect(to=[other])
            await one.publish(range(200))
            await one.until_all_came()
            inbox = inbox_of(frozen)
            freeze(frozen)
            await one.publish(range(200, 600))
            await one.until_all_came(one.clients[len(here) :])
            with one.server.client(decode=True) as client:
                await until(lambda: not client.exists(inbox), "its inbox has expired")
                await one.publish(range(600, 700))
                thaw(frozen)
                await one.until_all_came()
                await until(lambda: client.exists(inbox), "it has an inbox again")
                assert_bounded(client, 2)
                assert {client.port for client in here} == {frozen.port}
        assert not [client for client in here if client.silences], "nobody lost the connection"

    asyncio.run(scenario())
    one.assert_clean()
    for gateway in one.gateways:
        gateway.process.terminate()
        assert gateway.ended() == 0
    with one.server.client(decode=True) as client:
        assert_bounded(client, 0)
        assert not client.keys("*:presence:*")


def assert_bounded(client: redis.Redis, inboxes: int) -> None:
    """Assert that what gateways keep for users expires, and that there are so many inboxes."""
    names: Any = client.keys("*")
    assert len([name for name in names if name.endswith(":inbox")]) == inboxes
    for name in names:
        if any(part in name for part in (":recent:", ":presence:", ":inbox", ":gateway:")):
            assert client.pttl(name) > 0 or not client.exists(name), name


@pytest.mark.parametrize("how", ["XTRIM", "DEL", "SET"])
def test_rowd5__inbox_is_broken_under_load(any_delivery_run: NewDeliveryRun, how: str) -> None:
    """What stood in it is read from the lists; clients notice nothing but the delay."""
    one = any_delivery_run()

    async def scenario() -> None:
        serving = one.gateway(consume=False, **QUICK)
        one.gateway(serve=False, **QUICK)
        async with one.leaving():
            await one.connect()
            with one.server.client() as client:
                for turn in range(30):
                    await one.publish(range(turn * 20, turn * 20 + 20))
                    if turn % 3 == 2:
                        break_inbox(client, how, inbox_of(serving))
                await one.until_all_came()
            await one.publish(range(600, 620))
            await one.until_all_came()

    asyncio.run(scenario())
    one.assert_clean()
    one.figures.append(f"{how}: slowest event {one.slowest_s():.1f} s, presence renewed each 1 s")


def break_inbox(client: redis.Redis, how: str, inbox: str) -> None:
    """Break an inbox in one of the ways."""
    if how == "XTRIM":
        # After a SET there is nothing to trim.
        client.xtrim(inbox, maxlen=0, approximate=False)
    elif how == "DEL":
        client.delete(inbox)
    else:
        client.set(inbox, "foreign")


def test_rowd6__two_members_deliver_the_same_batch(any_delivery_run: NewDeliveryRun) -> None:
    """One freezes with a batch, another delivers it, then the first one goes on with it."""
    one = any_delivery_run(shards=1)

    async def scenario() -> None:
        first = one.gateway("before_deliver:stop,after_deliver:stop", serve=False, **QUICK)
        second = one.gateway(consume=False, **QUICK)
        third: FaultyGateway | None = None
        async with one.leaving():
            await one.connect(to=[second])
            for turn in range(3):
                await one.publish(range(turn * 100, turn * 100 + 100))
                await until(partial(is_frozen, first), "it froze with a batch")
                # Only now is there another member, so the batch was the first one's.
                third = third or one.gateway(serve=False, **QUICK)
                await one.until_all_came()
                thaw(first)
                await until(partial(has_moved_on, first), "it has delivered it, too")
            first.kill()
            await one.until_at_the_tops()
            assert_one_offset_each(one)

    asyncio.run(scenario())
    one.assert_clean()


def has_moved_on(gateway: FaultyGateway) -> bool:
    """Let a process go on to its next place; return whether it came there."""
    if not is_frozen(gateway):
        return False
    thaw(gateway)
    return True


def assert_one_offset_each(one: DeliveryRun) -> None:
    """Assert that no list holds an event twice, nor skips an offset."""
    with one.server.client() as client:
        for user, numbers in one.sent.items():
            pairs: Any = client.lrange(one.key_space.keys_of_user(user).recent(user), 0, -1)
            ids, stored = pairs[::2], pairs[1::2]
            assert len({*ids}) == len(ids) == len(numbers)
            offsets = [int(entry.split(b".", 2)[1]) for entry in stored]
            assert offsets == [*range(1, len(numbers) + 1)]
