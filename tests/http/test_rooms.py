"""Probes and operators have room of their own, whatever readers and producers do."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from galaxy_notify.http.problems import Problem
from galaxy_notify.http.seats import Seats
from galaxy_notify.http.threads import Room, Threads
from galaxy_notify.settings import settings_from

PLACE: Any = object()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    """Give rooms on a deployment that nobody asks anything."""
    monkeypatch.setattr("galaxy_notify.http.threads.open_place", lambda *_, **__: PLACE)
    return Threads(settings_from({}))


async def _full(room: Room, release: threading.Event) -> list[asyncio.Task[Any]]:
    """Put as much into a room as it takes, all of it waiting."""
    tasks: list[asyncio.Task[Any]] = []
    while True:
        task = asyncio.create_task(room.run(lambda _: release.wait()))
        await asyncio.sleep(0)
        if task.done():
            with pytest.raises(Problem, match="are in hand") as raised:
                task.result()
            assert raised.value.kind == "busy"
            return tasks
        tasks.append(task)


@pytest.mark.parametrize("full", ["reads", "changes"])
def test_room__that_is_full_leaves_the_others_alone(threads: Threads, full: str) -> None:
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
    """Producers and readers fill all seats but an eighth; who leaves makes room."""
    seats = Seats(16)
    scopes: list[dict[str, Any]] = [{"state": {}} for _ in range(15)]
    for _ in scopes:
        seats.enter()
    for scope in scopes[:14]:
        seats.take(scope, reserved=False)
    with pytest.raises(Problem, match="14 requests"):
        seats.take(scopes[14], reserved=False)
    seats.take(scopes[14], reserved=True)
    assert seats.refusal is None
    seats.leave(scopes[0])
    seats.take(scopes[14], reserved=False)


def test_seats__are_bounded_for_everybody() -> None:
    """Beyond the bound the next request is turned away, whoever sends it."""
    seats = Seats(1)
    for _ in range(2):
        seats.enter()
    assert seats.refusal is not None
    assert seats.refusal.kind == "busy"
