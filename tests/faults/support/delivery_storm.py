"""A storm over gateways: they and the server die again and again while events come."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import count

from tests.faults.support.delivery_run import DeliveryRun
from tests.support.wait import until

#: Events of one call of the producer.
_TOGETHER = 100


async def produce(one: DeliveryRun, events: int, per_s: float) -> None:
    """Put events into the streams, at most so many in a second."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for first in range(0, events, _TOGETHER):
        await asyncio.sleep(max(0.0, began + first / per_s - loop.time()))
        await one.publish(range(first, min(events, first + _TOGETHER)))


async def storm(
    one: DeliveryRun, *, events: int, per_s: float, kill_each_s: float, server_kills: int
) -> None:
    """Kill a gateway every so often and the server so many times while events come."""
    gateways = [one.gateway() for _ in range(2)]
    producing: asyncio.Task[None] | None = None
    deaths = servers = 0
    async with one.leaving():
        await one.connect()
        producing = asyncio.create_task(produce(one, events, per_s))
        for turn in count():
            await asyncio.wait({producing}, timeout=kill_each_s)
            if producing.done():
                break
            gateway = gateways[turn % 2]
            await asyncio.to_thread(gateway.kill)
            gateway.start_again()
            deaths += 1
            if sum(map(len, one.sent.values())) >= events * (servers + 1) // (server_kills + 1):
                await asyncio.to_thread(one.server.kill)
                await asyncio.to_thread(one.server.start)
                servers += 1
        await producing
        await one.until_all_came()
        await one.until_at_the_tops()
    one.figures.append(
        f"{len(one.clients)} clients; gateways killed {deaths} times, the server {servers} times;"
        f" {one.silences()}; slowest event {one.slowest_s():.1f} s"
    )
    assert deaths
    assert servers == server_kills


async def rolling_restart(
    one: DeliveryRun, *, rounds: int, per_s: float, drain_ms: int = 500
) -> None:
    """Restart gateways one after the other by SIGTERM while events come."""
    gateways = [one.gateway(realtime__drain_ms=drain_ms) for _ in range(2)]
    over = asyncio.Event()
    async with one.leaving():
        await one.connect()
        producing = asyncio.create_task(_produce_until(over, one, per_s))
        for _ in range(rounds):
            for gateway in gateways:
                gateway.process.terminate()
                assert await asyncio.to_thread(gateway.ended) == 0
                gateway.start_again()
                await until(partial(_listens, gateway.port), "it listens again")
                await one.until_connected()
        over.set()
        await producing
        await one.until_all_came()
    one.figures.append(f"{2 * rounds} restarts of {len(one.clients)} clients; {one.silences()}")


async def _produce_until(over: asyncio.Event, one: DeliveryRun, per_s: float) -> None:
    for first in count(0, _TOGETHER):
        if over.is_set():
            return
        await one.publish(range(first, first + _TOGETHER))
        await asyncio.sleep(_TOGETHER / per_s)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
