"""Rows D1, D2 and D7: lists that are rolled back or gone, and events that come in another order."""

from __future__ import annotations

import asyncio

import pytest
import redis

from galaxy_notify.redis_client.scripts import script
from tests.faults.conftest import NewDeliveryRun
from tests.faults.support.delivery_run import DeliveryRun, freeze, thaw
from tests.faults.support.redis_replica import has_all, replica_of
from tests.support.monitored import monitored
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Server
from tests.support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.extended]


def test_rowd1__replica_without_the_newest_events(any_delivery_run: NewDeliveryRun) -> None:
    """Offsets are given out again: who had them is reset, and has all that comes later."""
    one = any_delivery_run(users=30)
    old = one.server

    async def scenario(proxy: Proxy, new: Server) -> None:
        for _ in range(2):
            one.gateway(redis_url=proxy.url)
        async with one.leaving():
            online = await one.connect(one.users[:20])
            away = await one.connect(one.users[10:])
            await one.publish(range(300))
            await one.until_all_came()
            await until(lambda: has_all(old, new), "the replica has all")
            with new.client() as client:
                client.replicaof("NO", "ONE")
            # The old primary takes writes, which the new one never hears of.
            await one.publish(range(300, 360))
            await one.until_all_came()
            for client_away in away:
                await client_away.leave()
            await one.publish(range(360, 390))
            await one.until_all_came(online)
            await _switch(proxy, new)
            one.server = new
            # Each list grows past where its clients had been before.
            await one.publish(range(1000, 1300))
            for client_away in away:
                client_away.come()
            await one.until_connected()
            await one.until_at_the_tops()
            assert_later_events_or_reset(one, set(range(1000, 1300)))

    with replica_of(old) as new, proxied(old.socket) as proxy:
        asyncio.run(scenario(proxy, new))


async def _switch(proxy: Proxy, new: Server) -> None:
    proxy.upstream = new.socket
    proxy.reset_all()
    await asyncio.sleep(0)


def assert_later_events_or_reset(one: DeliveryRun, later: set[int]) -> None:
    """Assert that each client was reset for what was rolled back, or has all that came later."""
    verdict = one.verdict()
    one.figures.append(str(verdict))
    assert (verdict.gaps, verdict.disordered, verdict.violations) == (0, 0, []), str(verdict)
    assert set(verdict.resets) <= {"rolled_back"}
    assert verdict.resets["rolled_back"]
    for client in one.clients:
        own = later & set(one.sent[client.user])
        assert client.record.resets or own <= client.record.came_at.keys(), client.user


@pytest.mark.parametrize("how", ["DEL", "SET"])
def test_rowd2__list_of_one_user_is_broken(any_delivery_run: NewDeliveryRun, how: str) -> None:
    """The user begins a new epoch behind a reset; the batch costs the others nothing."""
    one = any_delivery_run(users=8, shards=1)
    victim = one.users[3]

    async def scenario() -> None:
        gateway = one.gateway()
        async with one.leaving():
            clients = await one.connect()
            await one.publish(range(128))
            await one.until_all_came()
            freeze(gateway)
            # One batch: the gateway is given all of it once it goes on.
            await one.publish(range(128, 256))
            with one.server.client() as client:
                _break_list(client, how, one.key_space.keys_of_user(victim).recent(victim))
            thaw(gateway)
            await one.until_at_the_tops()
            await one.publish(range(256, 272))
            await one.until_at_the_tops()
            (broken,) = (client for client in clients if client.user == victim)
            assert broken.record.resets == {"unknown": 1}
            assert broken.record.numbers[-2:] == [259, 267]
            one.clients.remove(broken)
            one.sent.pop(victim)
            one.assert_clean()

    asyncio.run(scenario())


def _break_list(client: redis.Redis, how: str, key: str) -> None:
    client.delete(key)
    if how == "SET":
        client.set(key, "foreign")


def test_rowd7__one_member_tells_late(any_delivery_run: NewDeliveryRun) -> None:
    """Events that overtake others wait for them; what is missing is read for all at once."""
    one = any_delivery_run(users=40, shards=1)

    async def scenario() -> None:
        one.gateway(consume=False)
        one.gateway("before_tell:upto=300", serve=False)
        one.gateway("before_tell:upto=100", serve=False)
        async with one.leaving():
            await one.connect()
            with monitored(one.server) as ran:
                began = asyncio.get_running_loop().time()
                for turn in range(50):
                    await one.publish(range(turn * 80, turn * 80 + 80))
                    await asyncio.sleep(0.05)
                await one.until_all_came()
                took_s = asyncio.get_running_loop().time() - began
            reads = ran.count(script("recent_read").sha)
            one.figures.append(f"{reads} pipelines read lists in {took_s:.1f} s")
            assert reads <= took_s / 0.1 + 1

    asyncio.run(scenario())
    one.assert_clean()
