"""Objects that outlive their event loop work in the next one, and in several at once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from galaxy_notify.gateway import GatewayConsumer
from galaxy_notify.gateway.event import Event
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.redis_client.connection import async_client
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intents import PLAIN, intent
from tests.support.servers import Server
from tests.support.wait import wait_until


def _bare(work: Coroutine[Any, Any, Any]) -> Any:
    """Run in a loop that is closed and nothing else, as older frameworks do."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


#: What such a loop leaves open is closed, with a warning, when it is collected.
_LEFT_OPEN = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.mark.parametrize("run", [asyncio.run, pytest.param(_bare, marks=_LEFT_OPEN)])
def test_async_notifier__works_in_one_loop_after_another(
    run: Callable[..., Any], server: Server, deploy: Deploy
) -> None:
    """Whatever became of the loops before, every call of the next one works."""
    deployment = deploy(server)
    # Other tests of this worker may have connections of their own to the server, which end.
    others = _connections(deployment)
    _use_in_four_loops(run, server.url)
    assert deployment.total("accepted") == 4 * 321
    gc.collect()
    wait_until(lambda: _connections(deployment) <= others, "all are closed")


def _connections(deployment: DeploymentFixture) -> set[str]:
    clients: Any = deployment.client.client_list()
    return {client["id"] for client in clients}


def _use_in_four_loops(run: Callable[..., Any], url: str) -> None:
    notifier = AsyncNotifier.from_url(url)

    async def use() -> set[str]:
        one = await notifier.accept(PLAIN)
        many = await notifier.accept_many([intent(recipients=[f"u{n}"]) for n in range(300)])
        at_once = await asyncio.gather(*(notifier.accept(PLAIN) for _ in range(20)))
        assert (await notifier.preferences.get("user-7")) is not None
        return {receipt.status for receipt in (one, *many, *at_once)}

    for _ in range(4):
        assert run(use()) == {"accepted"}
    run(notifier.close())


def test_async_notifier__works_in_several_loops_at_once(server: Server, deploy: Deploy) -> None:
    """Each loop has connections of its own."""
    deployment = deploy(server)
    notifier = AsyncNotifier.from_url(server.url)

    async def use() -> set[str]:
        receipts = await asyncio.gather(*(notifier.accept(PLAIN) for _ in range(50)))
        return {receipt.status for receipt in receipts}

    with ThreadPoolExecutor(4) as threads:
        for statuses in threads.map(lambda _: asyncio.run(use()), range(8)):
            assert statuses == {"accepted"}
    assert deployment.total("accepted") == 400


class _LeftMeanwhile:
    """A loop that is closed, and that another thread leaves at the same moment."""

    def __init__(self, shares: dict[Any, Any]) -> None:
        self._shares = shares

    def is_closed(self) -> bool:
        """Be left, then answer."""
        del self._shares[self]
        return True


def test_async_pool__may_leave_a_closed_loop_in_two_threads_at_once(server: Server) -> None:
    """Loops that begin at the same time find the same ones closed."""
    client = async_client(server.url)
    pool: Any = client.connection_pool
    pool._shares[_LeftMeanwhile(pool._shares)] = None

    async def use() -> None:
        assert await client.ping() is True
        await client.aclose()

    asyncio.run(use())


def test_consumer__runs_again_in_another_loop(server: Server, deploy: Deploy) -> None:
    """A run that was stopped, or cancelled, does not end the next one."""
    deployment = deploy(server)
    harness = deployment.worker_harness()
    consumer = GatewayConsumer.from_url(server.url, group="g", consumer="c")
    got: list[str] = []

    async def once() -> None:
        async def handle(event: Event) -> None:
            got.append(event.user_id)
            consumer.stop()

        await consumer.run(handle)

    async def cancelled() -> None:
        running = asyncio.ensure_future(consumer.run(_nothing))
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    deployment.notify("user-1")
    harness.step()
    asyncio.run(once())
    asyncio.run(cancelled())
    deployment.notify("user-2")
    harness.step()
    asyncio.run(once())
    assert asyncio.run(consumer.report())[0]["pending"] == 0
    assert got == ["user-1", "user-2"]


async def _nothing(_: Event) -> None:
    """Handle nothing."""
