"""Who asks for the primary, while others want to know it."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
import redis.asyncio
from redis import exceptions

from galaxy_notify.redis_client.following import AsyncTopologyClient, TopologyClient
from galaxy_notify.redis_client.topology import Address, SentinelTopology
from tests.support.wait import wait_until

SENTINEL, PRIMARY = Address("10.0.0.1", 26379), Address("10.0.1.1", 6379)


class _Silent(redis.Redis):
    """Answers once; then not before it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.go_on = threading.Event()

    def execute_command(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        if self.asked > 1 and not self.go_on.wait(30):
            raise exceptions.TimeoutError
        return [PRIMARY.host, PRIMARY.port]


class _AsyncSilent(redis.asyncio.Redis):
    """`_Silent` for asyncio."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def execute_command(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        if self.asked > 1:
            self.is_asked.set()
            await self.go_on.wait()
        return [PRIMARY.host, PRIMARY.port]


class _Due(SentinelTopology):
    """Is always due."""

    def is_due(self) -> bool:
        return True


def test_scout__one_thread_asks_and_the_others_go_on() -> None:
    """A sentinel that hangs holds up one caller, not all."""
    silent = _Silent()
    topology_client = TopologyClient(_Due([SENTINEL], "mymaster"), lambda _: silent)
    assert topology_client.now(0) == PRIMARY
    with ThreadPoolExecutor(1) as pool:
        held_up = pool.submit(topology_client.now, 0)
        wait_until(lambda: silent.asked == 2, "somebody asks")
        assert [topology_client.now(0) for _ in range(3)] == [PRIMARY] * 3
        silent.go_on.set()
        assert held_up.result(30) == PRIMARY
    assert silent.asked == 2


def test_scout__a_fork_asks_for_itself() -> None:
    """A process that was forked while a thread asked does not wait for that thread."""
    silent = _Silent()
    topology_client = TopologyClient(_Due([SENTINEL], "mymaster"), lambda _: silent)
    topology_client.now(0)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(topology_client.now, 0)
        wait_until(lambda: silent.asked == 2, "somebody asks")
        child = os.fork()
        if not child:
            silent.asked = 0
            topology_client.now(0)
            os._exit(silent.asked)
        silent.go_on.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_async_scout__one_task_asks_and_the_others_go_on() -> None:
    """The same for tasks."""

    async def run() -> None:
        silent = _AsyncSilent()
        topology_client = AsyncTopologyClient(_Due([SENTINEL], "mymaster"), lambda _: silent)
        assert await topology_client.now(0) == PRIMARY
        held_up = asyncio.create_task(topology_client.now(0))
        await silent.is_asked.wait()
        assert await topology_client.now(0) == PRIMARY
        silent.go_on.set()
        assert await held_up == PRIMARY
        assert silent.asked == 2

    asyncio.run(run())
