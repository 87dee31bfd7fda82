"""Batches that wait: to fill, for a slow handler, or for a later delivery."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from galaxy_notify.gateway import Event
from galaxy_notify.gateway.handler import LeftForLater
from galaxy_notify.redis_client.async_retries import StopFlag
from tests.support.events import (
    KEYS,
    PATIENT,
    SeenBatches,
    consuming_batches,
    number_of,
    pending_entries,
    publish,
    unfinished,
    write_deployment,
)
from tests.support.holding import calls
from tests.support.servers import Server
from tests.support.wait import HANG_S, until


def test_batches__fill_behind_one_that_was_not_full(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first event comes at once; those behind it share the next batch, after the wait."""
    seen = SeenBatches()
    waits, is_over = asyncio.Event(), asyncio.Event()
    wait = StopFlag.wait

    async def waited(stop: StopFlag, seconds: float = inf) -> bool:
        if not HANG_S / 2 < seconds <= HANG_S:
            return await wait(stop, seconds)
        waits.set()
        await is_over.wait()
        return False

    async def scenario() -> None:
        async with consuming_batches(server, seen, options=replace(PATIENT, batch_wait_s=HANG_S)):
            publish(client, 1)
            await waits.wait()
            assert seen.numbers == [[1]]
            for number in (2, 3, 4):
                publish(client, number)
            is_over.set()
            await until(lambda: len(seen.flat) == 4, "all come")

    monkeypatch.setattr(StopFlag, "wait", waited)

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario())
    assert seen.numbers == [[1], [2, 3, 4]]


def test_batches__that_are_full_wait_for_nothing(server: Server) -> None:
    """While there is more than a batch takes, one follows the other; a stop waits for none."""
    seen = SeenBatches()

    async def scenario() -> None:
        options = replace(PATIENT, batch_max=5, batch_wait_s=HANG_S)
        async with consuming_batches(server, seen, options=options):
            await until(lambda: len(seen.flat) == 12, "all come")
            await until(lambda: unfinished(client) == 0, "all are acknowledged")

    with server.client() as client:
        write_deployment(client)
        publish(client, *range(12))
        asyncio.run(scenario())
    assert seen.numbers == [[*range(5)], [*range(5, 10)], [10, 11]]


def test_batches__of_a_slow_handler_are_not_taken_over(server: Server) -> None:
    """While its handler runs for long, a consumer keeps its claims, and no delivery is counted."""
    others = SeenBatches()
    begun, may_go = asyncio.Event(), asyncio.Event()

    async def slow(_: list[Event]) -> None:
        begun.set()
        await may_go.wait()

    async def scenario() -> None:
        # So long that it keeps them also where all stand still for a while.
        quick = replace(PATIENT, reclaim_idle_s=6.0)
        patient = replace(quick, handler_timeout_s=inf, keeps_claims=True)
        async with consuming_batches(server, slow, options=patient):
            publish(client, 1, 2, 3)
            await begun.wait()
            async with consuming_batches(server, others, consumer="gw-2", options=quick):
                claims = calls(client, "xclaim")
                await until(lambda: calls(client, "xclaim") >= claims + 5, "it keeps its claims")
                entries = pending_entries(client)
                assert {entry["consumer"] for entry in entries} == {b"gw-1"}
                assert max(entry["times_delivered"] for entry in entries) <= 1
                may_go.set()
                await until(lambda: unfinished(client) == 0, "all are acknowledged")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario())
    assert others.flat == []


def test_batches__left_for_later_come_together(server: Server) -> None:
    """What a handler leaves for later comes again in one batch, as if for the first time."""
    batches: list[list[tuple[int, int]]] = []

    async def leaving(events: list[Event]) -> dict[str, Any]:
        batches.append([(number_of(event), event.deliveries) for event in events])
        if len(batches) > 3:
            return {}
        return {event.event_id: LeftForLater("not now") for event in events if number_of(event) % 2}

    async def scenario() -> None:
        async with consuming_batches(server, leaving):
            await until(lambda: unfinished(client) == 0 and len(batches) > 3, "all are done")

    with server.client() as client:
        write_deployment(client)
        publish(client, *range(6))
        asyncio.run(scenario())
        assert client.xlen(KEYS.parked) == 0
    assert batches[0] == [(number, 1) for number in range(6)]
    assert batches[1:] == [[(1, 1), (3, 1), (5, 1)]] * 3
