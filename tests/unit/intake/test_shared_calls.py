"""Which accepts share a call, and with whom: what one waits for must concern it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from galaxy_notify.intake import shared_calls
from galaxy_notify.intake.accept import Accepted
from galaxy_notify.intake.plan import Plan, plan
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.shared_calls import SharedCalls
from galaxy_notify.model.ids import random_id, shard_of
from galaxy_notify.redis_state.async_client import AsyncClient
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.settings import settings_from
from tests.support.intents import NOW, intent
from tests.support.wait import HANG_S

_SHARED = SharedSettings.from_settings(settings_from({"worker": {"shards": 2}}))
_ACCEPTED = Receipt("n", "accepted", 1, 1)


class _Client:
    """Answers each call when it is let go; keeps the names of the flows that it runs."""

    preferences_exist = False

    def __init__(self) -> None:
        self.flows: list[str] = []
        self.go = asyncio.Event()

    async def key_space(self) -> KeySpace:
        return KeySpace("gn", _SHARED)

    async def run_flow(self, flow: Any) -> object:
        name = str(flow.__name__)
        self.flows.append(name)
        await self.go.wait()
        plans = flow.gi_frame.f_locals["plans"]
        receipts = [_ACCEPTED for _ in plans]
        return Accepted(cast("Any", receipts), False) if name == "run" else receipts


def _plan(shard: int, **fields: Any) -> Plan:
    """Return the plan of an intent that this shard holds."""
    name = next(name for name in iter(lambda: random_id(NOW), "") if shard_of(name, 2) == shard)
    return plan(intent(**fields), _SHARED, NOW, "", name)


async def _flows_of(by_shard: bool, plans: list[Plan]) -> list[str]:
    """Return the calls that are on their way after all plans came, and those that follow."""
    client = _Client()
    keys = await client.key_space()
    calls = SharedCalls(cast("AsyncClient", client), by_shard=by_shard)
    tasks = [asyncio.ensure_future(calls.accept(one, keys)) for one in plans]
    for _ in range(5):
        await asyncio.sleep(0)
    first = [*client.flows, "|"]
    client.go.set()
    assert await asyncio.gather(*tasks) == [_ACCEPTED] * len(plans)
    return first + client.flows[len(first) - 1 :]


@pytest.fixture(autouse=True)
def endless_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next call leave only when the one before has returned, however slow this machine."""
    monkeypatch.setattr(shared_calls, "_LONGEST_WAIT_S", HANG_S)


@pytest.mark.parametrize(
    ("by_shard", "flows"),
    [(False, ["run", "|", "run_unruled"]), (True, ["run", "run", "|", "run_unruled"])],
)
def test_calls__of_one_server_wait_for_no_other(by_shard: bool, flows: list[str]) -> None:
    """Where each shard may have its own server, each has its own calls."""
    plans = [_plan(0), _plan(1), _plan(0), _plan(0)]
    assert asyncio.run(_flows_of(by_shard, plans)) == flows


@pytest.mark.parametrize(
    "fields",
    [
        {"collapse_key": "c"},
        {"recipients": [f"u{n}" for n in range(1001)]},
        {"recipients": [f"u{n}" for n in range(200)]},
    ],
)
def test_calls__of_their_own_wait_for_no_other(fields: dict[str, Any]) -> None:
    """What takes several round trips, or fills a call alone, neither waits nor is waited for."""
    plans = [_plan(0), _plan(0, **fields), _plan(0)]
    assert asyncio.run(_flows_of(False, plans)) == ["run", "run", "|", "run_unruled"]


def test_calls__wait_no_longer_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that left long ago, as over a slow link, holds up nothing."""
    monkeypatch.setattr(shared_calls, "_LONGEST_WAIT_S", 0.0)
    assert asyncio.run(_flows_of(False, [_plan(0)] * 3)) == ["run", "run", "run", "|"]


class _BrokenClient(_Client):
    """Answers a shared call with a defect, and what has a call of its own as ever."""

    async def run_flow(self, flow: Any) -> object:
        if flow.__name__ == "run":
            return await super().run_flow(flow)
        raise TypeError("one of them cannot be packed")


async def _ends_of_defect() -> list[Any]:
    client = _BrokenClient()
    keys = await client.key_space()
    calls = SharedCalls(cast("AsyncClient", client), by_shard=False)
    tasks = [asyncio.ensure_future(calls.accept(_plan(0), keys)) for _ in range(4)]
    await asyncio.sleep(0)
    client.go.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_calls__that_cannot_be_sent_together_are_sent_alone() -> None:
    """What is wrong with one of them concerns no other."""
    assert asyncio.run(_ends_of_defect()) == [_ACCEPTED] * 4


def test_calls__leave_a_closed_loop_alone() -> None:
    """A call that is given up after its loop was closed sends no other, and raises nothing."""

    async def begin() -> list[Any]:
        client = _Client()
        keys = await client.key_space()
        calls = SharedCalls(cast("AsyncClient", client), by_shard=False)
        return [calls.accept(_plan(0), keys).__await__() for _ in range(2)]

    loop = asyncio.new_event_loop()
    first, second = loop.run_until_complete(begin())

    async def step() -> None:
        next(first)
        next(second)

    loop.run_until_complete(step())
    loop.close()
    first.close()
    second.close()
