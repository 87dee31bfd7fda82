"""What those do who hand intents in through the stream, read it, and look after it, as steps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from galaxy_notify import AsyncNotifier
from galaxy_notify.errors import CallFailed
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.connection import sync_client
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.stream_member import Waiting
from galaxy_notify.redis_state.intents import IntentMember, Keeping, Reject
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.settings import settings_from
from tests.support.intake import GROUP, INTENT, KEYS, QUICK, hand_in, intent, left, reading
from tests.support.roles import Stage, step
from tests.support.wait import until

_LATER_MS = 3_600_000


@step(Role.PRODUCER, Role.INTAKE)
def hands_in_by_stream(stage: Stage) -> Iterator[None]:
    yield
    with sync_client(stage.url) as client:
        hand_in(client, intent(1))


@step(Role.INTAKE, lasts=True)
def reads_the_stream(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(worker__channels=["push", "email"], **QUICK)
    deployment.client.set(deployment.keys.schedule("email"), "x")
    hand_in(deployment.client, intent(1), intent(1, due_at=deployment.now() + _LATER_MS), "{")
    hand_in(deployment.client, *[intent(2, idempotency_key="k")] * 2)
    yield

    async def main() -> None:
        async with reading(deployment.settings_at(stage.url)):
            await until(
                lambda: not left(deployment.client) or stage.denied(), "all is read, or denied"
            )

    asyncio.run(main())


@step(Role.INTAKE)
def founds_to_read(stage: Stage) -> Iterator[None]:
    yield
    _accept(stage, INTENT)


@step(Role.INTAKE)
def accepts_to_read(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(worker__channels=["push", "email"], limits__max_routes=2)
    deployment.client.set(deployment.keys.schedule("email"), "x")
    cancelled = {**INTENT, "recipients": ["a", "b", "c"], "idempotency_key": "c"}
    first = deployment.notifier.accept(cancelled)
    deployment.notifier.cancel(first.notification_id or "")
    deployment.client.delete(deployment.keys.notification(f"{first.notification_id}.2"))
    yield
    keyed = {**INTENT, "idempotency_key": "k"}
    _accept(stage, {**INTENT, "due_at": deployment.now() + _LATER_MS})
    _accept(stage, keyed, keyed, cancelled)
    _accept(stage, {**INTENT, "channels": ["push", "email"]})


def _accept(stage: Stage, *intents: dict[str, Any]) -> None:
    async def accept() -> None:
        async with AsyncNotifier(settings_from({"redis": {"url": stage.url}})) as notifier:
            try:
                await notifier.accept_many(intents)
            except CallFailed:
                assert stage.denied() or "email" in str(intents)

    asyncio.run(accept())


@step(Role.INTAKE)
def calls_for_intents(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        client.xgroup_create(KEYS.stream, GROUP, "0", mkstream=True)
        for name in ("gone", "gone too"):
            client.xgroup_createconsumer(KEYS.stream, GROUP, name)
        hand_in(client, intent(1), "{", "trimmed", intent(2))
        yield
        asyncio.run(_call(stage, client))


async def _call(stage: Stage, client: Any) -> None:
    opened = open_async(settings_from({"redis": {"url": stage.url}}))
    member = IntentMember(opened, KEYS, GROUP, "reader-1")
    try:
        await member.join()
        first, bad, trimmed, last = await member.read(4, 1)
        client.xdel(KEYS.stream, trimmed.stream_id)
        await member.waiting(0, 0, 10)
        for entry in (trimmed, last):
            waiting = Waiting(entry.stream_id, "reader-1", 0, 1)
            await member.claim(waiting, 0)
            await member.begin(waiting)
        await member.put_off(last)
        await member.keep([last.stream_id])
        await member.probe()
        reject = Reject(bad.stream_id, "invalid", "", "why", 1)
        ended = await member.settle([first.stream_id], [reject], Keeping(1024, 10))
        assert not ended.unsettled
        await member.forget(-1)
    except RedisFault:
        assert stage.denied()
    finally:
        await opened.aclose()


@step(Role.OPERATOR, Role.READER)
def looks_at_intents(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    hand_in(deployment.client, "x")
    deployment.client.xgroup_create(KEYS.stream, GROUP, "0")
    _reject(deployment.client)
    yield
    stage.cli("intake", "status")
    stage.cli("intake", "rejects", "ls")


@step(Role.OPERATOR)
def looks_after_rejects(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    for _ in range(2):
        _reject(deployment.client)
    yield
    stage.cli("intake", "rejects", "replay", "--all")
    _reject(deployment.client)
    stage.cli("intake", "rejects", "purge", "--all", "--yes")


def _reject(client: Any) -> None:
    client.xadd(KEYS.rejects, {"code": "invalid", "intent": "{"})
