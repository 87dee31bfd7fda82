"""The gate of a process: who may be inside together."""

from __future__ import annotations

import asyncio

import pytest

from galaxy_notify.publishing.state import ExclusiveGate
from tests.support.wait import HANG_S


def test_gate__lets_many_in_or_one_alone() -> None:
    """Who is to be alone waits for those inside, and those who come then wait for it."""
    order: list[str] = []

    async def together(name: str, gate: ExclusiveGate, leave: asyncio.Event) -> None:
        async with gate.shared():
            order.append(f"{name} in")
            await leave.wait()
            order.append(f"{name} out")

    async def alone(name: str, gate: ExclusiveGate) -> None:
        async with gate.exclusive():
            order.append(f"{name} in")
            await asyncio.sleep(0)
            order.append(f"{name} out")

    async def main() -> None:
        gate, leave = ExclusiveGate(), asyncio.Event()
        tasks = [asyncio.create_task(together(name, gate, leave)) for name in ("a", "b")]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(alone(name, gate)) for name in ("x", "y")]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(together("c", gate, leave)))
        await asyncio.sleep(0)
        leave.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert sorted(order[:4]) == ["a in", "a out", "b in", "b out"]
    for name in ("x", "y"):
        at = order.index(f"{name} in")
        assert order[at + 1] == f"{name} out"
    assert order.index("c in") > order.index("x out")


def test_gate__is_left_by_those_that_fail() -> None:
    """An error inside does not keep the others out."""

    async def main() -> None:
        gate = ExclusiveGate()
        for inside in (gate.shared, gate.exclusive):
            with pytest.raises(KeyError):
                async with inside():
                    raise KeyError
        async with gate.exclusive():
            pass

    asyncio.run(asyncio.wait_for(main(), HANG_S))
