"""Probes and operators have room of their own, whatever readers and producers do."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from galaxy_notify.http.dependencies import RequestLimit
from galaxy_notify.http.pools import BlockingPool, BlockingPools
from galaxy_notify.settings import settings_from
from galaxy_notify.web.problems import Problem

PLACE: Any = object()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> BlockingPools:
    """Give rooms on a deployment that nobody asks anything."""
    monkeypatch.setattr("galaxy_notify.http.pools.connect", lambda *_, **__: PLACE)
    return BlockingPools(settings_from({}))


async def _full(room: BlockingPool, release: threading.Event) -> list[asyncio.Task[Any]]:
    """Put as much into a room as it takes, all of it waiting."""
    tasks: list[asyncio.Task[Any]] = []
    while True:
        task = asyncio.create_task(room.run(lambda _: release.wait()))
        await asyncio.sleep(0)
        if task.done():
            with pytest.raises(Problem, match="are already in progress") as raised:
                task.result()
            assert raised.value.kind == "busy"
            return tasks
        tasks.append(task)


@pytest.mark.parametrize("full", ["reads", "changes"])
def test_room__that_is_full_leaves_the_others_alone(threads: BlockingPools, full: str) -> None:
    """Whatever lists for long, probes are answered and operators replay."""

    async def run() -> None:
        release = threading.Event()
        waiting = await _full(getattr(threads, full), release)
        threads_of = [threads.probes, threads.reads, threads.changes]
        free = [room for room in threads_of if room.name != full]
        assert [await room.run(lambda place: place) for room in free] == [PLACE] * 2
        release.set()
        await asyncio.gather(*waiting)

    asyncio.run(run())


def test_seats__some_are_kept_for_operators() -> None:
    """Producers and readers fill all limit but an eighth; who leaves makes room."""
    limit = RequestLimit(16)
    scopes: list[dict[str, Any]] = [{"state": {}} for _ in range(15)]
    for _ in scopes:
        limit.enter()
    for scope in scopes[:14]:
        limit.admit(scope, reserved=False)
    with pytest.raises(Problem, match="14 requests"):
        limit.admit(scopes[14], reserved=False)
    limit.admit(scopes[14], reserved=True)
    assert limit.refusal is None
    limit.leave(scopes[0])
    limit.admit(scopes[14], reserved=False)


def test_seats__are_bounded_for_everybody() -> None:
    """Beyond the bound the next request is turned away, whoever sends it."""
    limit = RequestLimit(1)
    for _ in range(2):
        limit.enter()
    assert limit.refusal is not None
    assert limit.refusal.kind == "busy"
