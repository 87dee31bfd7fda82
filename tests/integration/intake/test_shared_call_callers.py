"""The callers of a shared call: cancelled, in spans of their own, with rules, at the close."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from galaxy_notify.errors import AlreadyClosed, Unavailable
from galaxy_notify.intake import shared_calls
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.redis_state.async_client import AsyncClient
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN
from tests.support.proxy import proxied
from tests.support.servers import Server
from tests.support.together import accepting, ends, keyed, no_connection_free
from tests.support.wait import HANG_S, until

_MANY = 40
_CALLER: ContextVar[str] = ContextVar("_CALLER", default="")


@pytest.fixture(autouse=True)
def endless_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next call leave only when the one before has returned, however slow this machine."""
    monkeypatch.setattr(shared_calls, "_LONGEST_WAIT_S", HANG_S)


def test_accept__cancelled_before_its_call_leaves_is_not_sent(
    server: Server, deploy: Deploy
) -> None:
    """It is withdrawn; those that would have shared the call with it are accepted."""
    deployment = deploy(server)

    async def run() -> list[Any]:
        async with AsyncNotifier(deployment.settings) as notifier:
            async with no_connection_free(notifier) as line:
                tasks = accepting(notifier, *map(keyed, range(_MANY)))
                await until(lambda: line, "the first waits for a connection")
                for task in tasks[1::2]:
                    task.cancel()
                await asyncio.wait(tasks[1::2])
            return await ends(tasks)

    found = asyncio.run(run())
    assert {one.status for one in found[::2]} == {"accepted"}
    assert {type(one) for one in found[1::2]} == {asyncio.CancelledError}
    assert set(deployment.statuses()) == {"user-7", *(f"u{n}" for n in range(0, _MANY, 2))}


def test_accept__cancelled_does_not_end_the_call_of_the_others(
    server: Server, deploy: Deploy
) -> None:
    """A call that has left belongs to all in it, and runs to its end."""
    deployment = deploy(server)

    async def run() -> list[Any]:
        async with AsyncNotifier(deployment.settings) as notifier:
            async with no_connection_free(notifier) as line:
                tasks = accepting(notifier, *map(keyed, range(_MANY)))
                await until(lambda: line, "the first waits for a connection")
                tasks[0].cancel()
                await until(lambda: tasks[0].done() and line, "the others' call has left")
                for task in tasks[1::2]:
                    task.cancel()
                await asyncio.wait(tasks[1::2])
            return await ends(tasks)

    found = asyncio.run(run())
    assert {one.status for one in found[2::2]} == {"accepted"}
    assert {type(one) for one in found[1::2]} == {asyncio.CancelledError}
    assert set(deployment.statuses()) == {"user-7", *(f"u{n}" for n in range(1, _MANY))}


def test_accept__an_interrupted_call_leaves_its_outcome_unknown(
    server: Server, deploy: Deploy
) -> None:
    """Where all tasks of a loop are cancelled but the callers, none of them waits for ever."""
    deploy(server)

    async def run() -> list[Any]:
        async with AsyncNotifier.from_url(server.url) as notifier:
            async with no_connection_free(notifier) as line:
                tasks = accepting(notifier, *map(keyed, range(5)))
                await until(lambda: line, "the first waits for a connection")
                tasks[0].cancel()
                await until(lambda: tasks[0].done() and line, "the others' call has left")
                for task in asyncio.all_tasks() - {*tasks, asyncio.current_task()}:
                    task.cancel()
                found = await ends(tasks)
            receipts = await ends(accepting(notifier, *map(keyed, range(5))))
            assert {one.status for one in receipts} == {"accepted"}
            return found[1:]

    errors = asyncio.run(run())
    assert {type(error) for error in errors} == {Unavailable}
    assert all("the call was interrupted" in str(error) for error in errors)


def test_accept__after_the_close_none_is_left_waiting(server: Server, deploy: Deploy) -> None:
    """What has not left when the notifier is closed is not sent, and each caller is informed."""
    deployment = deploy(server)

    async def run() -> list[Any]:
        notifier = AsyncNotifier(deployment.settings)
        async with no_connection_free(notifier) as line:
            tasks = accepting(notifier, *map(keyed, range(_MANY)))
            await until(lambda: line, "the first waits for a connection")
            closing = asyncio.ensure_future(notifier.close())
            await asyncio.sleep(0)
        await closing
        return await ends(tasks)

    first, *others = asyncio.run(run())
    assert isinstance(first, Receipt | Unavailable | AlreadyClosed)
    assert {type(one) for one in others} == {AlreadyClosed}
    assert len({id(one) for one in others}) == _MANY - 1
    assert set(deployment.statuses()) <= {"user-7", "u0"}


def test_close__waits_for_a_call_whose_callers_have_gone(server: Server, deploy: Deploy) -> None:
    """It leaves no task and no connection: what has left is neither sent nor tried later."""
    deployment = deploy(server)

    async def run() -> None:
        notifier = AsyncNotifier(deployment.settings)
        async with no_connection_free(notifier) as line:
            tasks = accepting(notifier, *map(keyed, range(5)))
            await until(lambda: line, "the first waits for a connection")
            tasks[0].cancel()
            await until(lambda: tasks[0].done() and line, "the others' call has left")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            closing = asyncio.ensure_future(notifier.close())
            await asyncio.sleep(0)
        await closing
        assert asyncio.all_tasks() == {asyncio.current_task()}
        pool: Any = notifier._client._client.connection_pool
        assert not pool._shares
        with pytest.raises(AlreadyClosed):
            await notifier.accept(PLAIN)

    asyncio.run(run())
    assert set(deployment.statuses()) == {"user-7", "u1", "u2", "u3", "u4"}


def test_accept__each_keeps_its_own_span(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trace of a caller is stored with its intent, and its context is not that of the call."""
    deployment = deploy(server)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    spans: dict[str, str] = {}
    contexts: list[str] = []
    original = AsyncClient.run_flow

    async def run_flow(self: AsyncClient, flow: Any) -> Any:
        contexts.append(_CALLER.get())
        return await original(self, flow)

    monkeypatch.setattr(AsyncClient, "run_flow", run_flow)

    async def run() -> None:
        async with AsyncNotifier(deployment.settings) as notifier:

            async def accept(number: int) -> None:
                _CALLER.set(f"u{number}")
                with tracer.start_as_current_span("s") as span:
                    spans[f"u{number}"] = f"{span.get_span_context().span_id:016x}"
                    await notifier.accept(keyed(number))

            await asyncio.gather(*map(accept, range(_MANY)))

    asyncio.run(run())
    assert contexts == ["u0", ""]
    deployment.worker_harness().step()
    stored = {
        entry["user_id"].decode(): entry["traceparent"].decode().split("-")[2]
        for entry in deployment.entries()
    }
    assert stored == spans


@pytest.mark.parametrize("known", [False, True])
def test_accept__rules_apply_as_in_a_call_of_its_own(
    known: bool, server: Server, deploy: Deploy
) -> None:
    """Preferences that are met only in a shared call, collapse keys and parts of large fan-outs."""
    deployment = deploy(server, limits__max_routes=10)
    deployment.notifier.preferences.silence("u3")
    crowd = {**PLAIN, "recipients": [f"c{n}" for n in range(25)]}
    collapsing = [{**PLAIN, "recipients": ["u9"], "collapse_key": f"c{n}"} for n in range(3)]

    async def run() -> list[Any]:
        async with AsyncNotifier(deployment.settings) as notifier:
            if known:
                await notifier.accept(PLAIN)
            return await ends(
                accepting(notifier, *map(keyed, range(_MANY)), crowd, *collapsing, crowd)
            )

    receipts = asyncio.run(run())
    assert {one.status for one in receipts} == {"accepted"}
    assert [place for place, one in enumerate(receipts) if one.skipped] == [3]
    assert [one.parts for one in receipts[_MANY:]] == [3, 1, 1, 1, 3]
    statuses = deployment.statuses()
    assert {user for user, status in statuses.items() if status == "skipped"} == {"u3"}


def test_accept__goes_on_after_an_outage(server: Server, deploy: Deploy) -> None:
    """A line whose call failed sends the next one as if nothing had been."""
    deployment = deploy(server)

    async def run(url: str) -> list[Any]:
        async with AsyncNotifier(deployment.settings_at(url)) as notifier:
            await notifier.accept(PLAIN)
            for _ in range(3):
                with proxy.down():
                    away = await ends(accepting(notifier, *map(keyed, range(5))))
                assert {type(error) for error in away} == {Unavailable}
            return await ends(accepting(notifier, *map(keyed, range(5))))

    with proxied(server.socket) as proxy:
        receipts = asyncio.run(run(proxy.url))
    assert {one.status for one in receipts} <= {"accepted"}
    assert deployment.total("accepted") == 6


def test_accept__a_call_that_is_cancelled_before_it_begins_ends_for_all(
    server: Server, deploy: Deploy
) -> None:
    """Its callers do not wait for ever, and the line does not count it as on its way for ever."""
    deployment = deploy(server)

    async def run() -> list[Any]:
        async with AsyncNotifier(deployment.settings) as notifier:
            first, *tasks = accepting(notifier, *map(keyed, range(5)))
            await first
            # Called before the task that the line is about to make has its first step.
            line = notifier._calls._lines.here()[0]
            line._leave()
            (about_to_begin,) = line._tasks
            about_to_begin.cancel()
            found = await ends(tasks)
            again = await asyncio.wait_for(notifier.accept(keyed(9)), HANG_S / 2)
            assert again.status == "accepted"
            return found

    errors = asyncio.run(run())
    assert {type(error) for error in errors} == {Unavailable}
    assert all("the call was interrupted" in str(error) for error in errors)
    assert set(deployment.statuses()) == {"u0", "u9"}


def test_accept__goes_with_any_task_factory(server: Server, deploy: Deploy) -> None:
    """Also with one that takes a loop and a coroutine only, as they all did once."""
    deployment = deploy(server)

    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda of, coroutine: asyncio.Task(coroutine, loop=of))
        async with AsyncNotifier(deployment.settings) as notifier:
            return await ends(accepting(notifier, *map(keyed, range(_MANY))))

    receipts = asyncio.run(run())
    assert {one.status for one in receipts} == {"accepted"}
