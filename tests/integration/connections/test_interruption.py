"""Whatever interrupts a call, at whatever place: the next call works, and has its own reply."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from galaxy_notify.intake import plan
from galaxy_notify.intake.notifier import AsyncNotifier, Notifier
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.model.intent import Intent
from galaxy_notify.redis_client import async_pools, pools
from galaxy_notify.redis_client.connection import sync_client
from galaxy_notify.redis_client.scripts import packed
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN, intent
from tests.support.proxy import proxied
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

#: More often than an accept over a new connection waits for anything.
_AWAITS = 60


@pytest.mark.parametrize("what", ["lines", "signals", "background"])
def test_notifier__works_after_an_interruption_anywhere(
    what: str, server: Server, deploy: Deploy
) -> None:
    """No lock is left held, nothing crashes, and no connection is used that raised anything."""
    deploy(server)
    command = [sys.executable, "-m", "tests.support.interrupted", what, server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    told = json.loads(done.stdout)
    if what == "lines":
        assert min(told["at hand"], told["new"]) > 100
        assert told["connections"] == 1
    else:
        assert told["hits"] > 100


@pytest.mark.parametrize("connected", [True, False])
def test_async_notifier__works_after_a_cancellation_anywhere(
    connected: bool, server: Server, deploy: Deploy
) -> None:
    """A task that is cancelled at any await leaves no reply behind for the next call."""
    deploy(server)

    async def run() -> int:
        cancelled = 0
        async with AsyncNotifier.from_url(server.url) as notifier:
            pool: Any = notifier._client._client.connection_pool
            for steps in range(_AWAITS):
                if not connected:
                    await pool.disconnect()
                task = asyncio.ensure_future(notifier.accept(PLAIN))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                (outcome,) = await asyncio.gather(task, return_exceptions=True)
                cancelled += isinstance(outcome, asyncio.CancelledError)
                key = f"{steps}"
                receipt = await notifier.accept({**PLAIN, "idempotency_key": key})
                assert receipt.notification_id == id_for_key("lobby", key)
            assert len(pool._shares[asyncio.get_running_loop()]._stock.all()) == 1
        return cancelled

    assert asyncio.run(run()) > 0


def _at_plan(monkeypatch: pytest.MonkeyPatch, number: int, then: Callable[[], None]) -> None:
    """Do something when an intent is planned, while the calls before it are on their way."""
    made, original = count(1), plan._plan_or_refusal

    def planned(*given: Any) -> Any:
        if next(made) == number:
            then()
        return original(*given)

    monkeypatch.setattr(plan, "_plan_or_refusal", planned)


def test_notifier__drops_what_is_under_way_when_planning_is_interrupted(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replies to the calls that were sent by then do not meet the next call."""
    deploy(server)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with Notifier.from_url(server.url) as notifier:
        notifier.accept(PLAIN)
        with monkeypatch.context() as patched:
            _at_plan(patched, 500, interrupt)
            with pytest.raises(KeyboardInterrupt):
                notifier.accept_many([PLAIN] * 600)
        receipt = notifier.accept({**PLAIN, "idempotency_key": "next"})
        assert receipt.notification_id == id_for_key("lobby", "next")
        pool: Any = notifier._client._client.connection_pool
        assert len(pool._stock.all()) == 1


@pytest.mark.parametrize("number", [150, 250, 599])
def test_notifier__tries_again_what_was_cut_off_while_it_planned(
    number: int, server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection lost between two calls costs another try: each intent is accepted once."""
    deployment = deploy(server)
    intents = [intent(recipients=[f"u{n}"]) for n in range(600)]
    with proxied(server.socket) as proxy, Notifier.from_url(proxy.url) as notifier:
        notifier.accept(PLAIN)
        _at_plan(monkeypatch, number, proxy.reset_all)
        receipts = notifier.accept_many(intents)
    assert {receipt.status for receipt in receipts} == {"accepted"}
    assert deployment.total("accepted") == 601


def test_async_notifier__drops_what_is_under_way_when_it_is_cancelled(
    server: Server, deploy: Deploy
) -> None:
    """A batch that is cancelled between two of its calls leaves no reply behind."""
    deploy(server)

    async def run() -> int:
        cancelled = 0
        async with AsyncNotifier.from_url(server.url) as notifier:
            await notifier.accept(PLAIN)
            batch = [Intent(**PLAIN)] * 200 + [Intent(**{**PLAIN, "recipients": ["u2"]})] * 50
            for steps in range(12):
                task = asyncio.ensure_future(notifier.accept_many(batch))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                (outcome,) = await asyncio.gather(task, return_exceptions=True)
                cancelled += isinstance(outcome, asyncio.CancelledError)
                receipt = await notifier.accept({**PLAIN, "idempotency_key": f"{steps}"})
                assert receipt.notification_id == id_for_key("lobby", f"{steps}")
            pool: Any = notifier._client._client.connection_pool
            assert len(pool._shares[asyncio.get_running_loop()]._stock.all()) == 1
        return cancelled

    assert asyncio.run(run()) > 0


def test_async_notifier__gives_up_a_place_in_line(server: Server, deploy: Deploy) -> None:
    """Those who time out in line, even just when it is their turn, hold up nobody."""
    deploy(server)

    async def run() -> None:
        async with AsyncNotifier.from_url(server.url) as notifier:
            for round_ in range(40):
                tasks = [asyncio.ensure_future(notifier.accept(PLAIN)) for _ in range(60)]
                for _ in range(round_):
                    await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                statuses = {getattr(outcome, "status", outcome) for outcome in outcomes[1::2]}
                assert statuses == {"accepted"}

    asyncio.run(run())


def test_notifier__works_while_tracebacks_hold_its_connections(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody keeps of interrupted calls is written off when others wait for it."""
    deploy(server)
    monkeypatch.setattr(pools, "LOOK_S", 0.02)
    with Notifier.from_url(server.url) as notifier:
        notifier.accept(PLAIN)
        pool: Any = notifier._client._client.connection_pool
        kept = [pool.get_connection() for _ in range(8)]
        assert notifier.accept(PLAIN).status == "accepted"
        for connection in kept:
            pool.put(connection)
        assert len(pool._stock.all()) == 1


def test_pool__gives_back_a_turn_that_another_thread_lost(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted thread may have taken a waiting one out of the line, and given it nothing."""
    monkeypatch.setattr(pools, "LOOK_S", 0.02)
    client = sync_client(server.url, connections=1)
    pool: Any = client.connection_pool
    held = pool.get_connection()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.ping)
        wait_until(lambda: pool._line, "it waits in line")
        pool._line.popleft()
        pool.put(held)
        assert waiting.result() is True
    client.close()


def test_async_notifier__works_while_tracebacks_hold_its_connections(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for tasks."""
    deploy(server)
    monkeypatch.setattr(async_pools, "LOOK_S", 0.02)

    async def run() -> None:
        async with AsyncNotifier.from_url(server.url) as notifier:
            await notifier.accept(PLAIN)
            pool: Any = notifier._client._client.connection_pool
            kept = [await pool.get_connection() for _ in range(8)]
            assert (await notifier.accept(PLAIN)).status == "accepted"
            for connection in kept:
                pool.put(connection)

    asyncio.run(run())


def test_packed__gives_hiredis_no_numbers() -> None:
    """Numbers are sent as before, and their text is made where an interruption is harmless."""
    assert packed(("SET", b"k", 12, 1.5)) == [
        b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n12\r\n$3\r\n1.5\r\n"
    ]
