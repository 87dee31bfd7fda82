"""Rows 73, 74 and D9: gateways die, are killed or restarted, and their clients come back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.faults.conftest import NewDeliveryRun
from tests.faults.support.delivery_run import DeliveryRun
from tests.faults.support.delivery_storm import rolling_restart, storm
from tests.faults.support.live_client import TicketClient

pytestmark = [pytest.mark.slow, pytest.mark.extended]

#: What a gateway allows by itself.
_CONNECTS_PER_S = 200


def test_row73__storm(any_delivery_run: NewDeliveryRun) -> None:
    """Gateways are killed every 3 s and the server twice: none lost, twice or out of order."""
    one = any_delivery_run(users=100)
    asyncio.run(storm(one, events=8000, per_s=400, kill_each_s=3, server_kills=2))
    one.assert_clean()


def test_row74__rolling_restart(any_delivery_run: NewDeliveryRun) -> None:
    """Clients are spread over the others: no gap, no repeat, no reset."""
    one = any_delivery_run(users=100)
    asyncio.run(rolling_restart(one, rounds=2, per_s=300))
    one.assert_clean()


@pytest.mark.timeout(1800)
def test_rowd9__all_clients_of_a_gateway_come_to_the_other(delivery_run: NewDeliveryRun) -> None:
    """A thousand streams resume within the limits of a gateway, and Redis is at ease."""
    one = delivery_run(users=2000)

    async def scenario() -> None:
        first, second = (one.gateway(realtime__connects_per_s=_CONNECTS_PER_S) for _ in range(2))
        async with one.leaving():
            for at in range(0, 2000, 100):
                await one.connect(one.users[at : at + 100], [(first, second)[at // 100 % 2]])
            await one.publish(range(2000))
            await one.until_all_came()
            for client in one.clients:
                client.ports = [second.port]
            before = _busy_s(one)
            began = asyncio.get_running_loop().time()
            first.kill()
            await one.publish(range(2000, 4000))
            await one.until_all_came()
            await one.until_connected()
            took_s = asyncio.get_running_loop().time() - began
            share = (_busy_s(one) - before) / took_s
        one.figures.append(
            f"1,000 streams resumed in {took_s:.1f} s, Redis busy for {share:.0%}; {one.silences()}"
        )
        assert share < 0.5

    asyncio.run(scenario())
    one.assert_clean()


def test_rowd9__clients_that_come_by_tickets(delivery_run: NewDeliveryRun) -> None:
    """Each reconnect is two requests within the same limits: all resume, nothing is missing."""
    one = delivery_run(users=400)

    async def scenario() -> None:
        first, second = (one.gateway(realtime__connects_per_s=_CONNECTS_PER_S) for _ in range(2))
        async with one.leaving():
            for at, user in enumerate(one.users):
                client = TicketClient(user, [(first, second)[at % 2].port], one.rng)
                one.clients.append(client)
                client.come()
            await one.until_connected()
            await one.publish(range(400))
            await one.until_all_came()
            for other in one.clients:
                other.ports = [second.port]
            first.kill()
            await one.publish(range(400, 800))
            await one.until_all_came()
            await one.until_connected()
        one.figures.append(f"200 streams resumed by tickets; {one.silences()}")

    asyncio.run(scenario())
    one.assert_clean()


def _busy_s(one: DeliveryRun) -> float:
    """Return for how long the server has worked since its start."""
    with one.server.client(decode=True) as client:
        used: Any = client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
