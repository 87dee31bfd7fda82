"""What producers and consumers do, as steps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress

from galaxy_notify import AsyncNotifier, Notifier
from galaxy_notify.edges import EdgeTrigger
from galaxy_notify.errors import (
    GalaxyNotifyError,
)
from galaxy_notify.redis_client.stream_member import Waiting
from galaxy_notify.redis_state.consumer_connection import ConsumerConnection
from galaxy_notify.redis_state.group import GroupMember, MarkLimits, Parking
from galaxy_notify.redis_state.preferences import UserChange
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.settings import settings_from
from tests.support import events
from tests.support.intents import PLAIN
from tests.support.roles import Stage, step
from tests.support.wait import until

OLD_MS = 3_600_000


@step(Role.PRODUCER, Role.INTAKE, Role.OPERATOR)
def founds(stage: Stage) -> Iterator[None]:
    yield
    with Notifier(settings_from({"redis": {"url": stage.url}})) as notifier:
        notifier.accept(PLAIN)


@step(Role.PRODUCER, Role.INTAKE)
def adopts(stage: Stage) -> Iterator[None]:
    stage.deploy()
    yield
    with Notifier.from_url(stage.url) as notifier:
        notifier.accept(PLAIN)
        notifier.accept_many([PLAIN] * 2)


@step(Role.PRODUCER, Role.INTAKE)
def accepts(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(limits__max_routes=2)
    keyed = {**PLAIN, "idempotency_key": "k"}
    yield
    with Notifier(deployment.settings_at(stage.url)) as notifier:
        notifier.accept(keyed)
        notifier.accept(keyed)
        with suppress(GalaxyNotifyError):
            notifier.accept({**keyed, "title": "other"})
        first, _ = notifier.accept_many([{**PLAIN, "recipients": ["a", "b", "c"]}, PLAIN])
        later = notifier.accept({**PLAIN, "due_at": deployment.now() + OLD_MS})
        notifier.reschedule(later.notification_id or "", deployment.now() + 2 * OLD_MS)
        notifier.cancel(first.notification_id or "")
        notifier.cancel(later.notification_id or "", route="push:user-7")


@step(Role.PRODUCER, Role.INTAKE, Role.OPERATOR)
def accepts_by_rules(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(rules__cooldown_ms=OLD_MS)
    later = {**PLAIN, "due_at": deployment.now() + OLD_MS, "collapse_key": "turn"}
    yield
    with Notifier(deployment.settings_at(stage.url)) as notifier:
        notifier.accept(PLAIN)
        assert notifier.accept(PLAIN).skipped
        for severity in ("warning", "critical"):
            notifier.accept({**later, "severity": severity})


@step(Role.PRODUCER, Role.INTAKE)
def accepts_asynchronously(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()

    async def produce() -> None:
        async with AsyncNotifier(deployment.settings_at(stage.url)) as notifier:
            receipt = await notifier.accept(PLAIN)
            await notifier.accept_many([PLAIN, PLAIN])
            await notifier.cancel(receipt.notification_id or "")

    yield
    asyncio.run(produce())


@step(Role.PRODUCER, Role.INTAKE, Role.OPERATOR)
def takes_back(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(worker__channels=["push", "email"])
    deployment.client.set(deployment.keys.schedule("email"), "x")
    yield
    with Notifier(deployment.settings_at(stage.url)) as notifier, suppress(GalaxyNotifyError):
        notifier.accept({**PLAIN, "channels": ["push", "email"]})


@step(Role.PRODUCER, Role.INTAKE, Role.OPERATOR)
def changes_preferences(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(worker__shards=2)
    yield
    with Notifier(deployment.settings_at(stage.url)) as notifier:
        preferences = notifier.preferences
        preferences.set("u1", "chat", channels=["push"])
        preferences.change([UserChange("u1", {"silenced": b"1"}, whole=True)])
        preferences.resume("u1")
        preferences.delete("u1")
        preferences.get("u1")


@step(Role.PRODUCER)
def watches_values(stage: Stage) -> Iterator[None]:
    stage.deploy()
    yield
    with EdgeTrigger.from_url(stage.url) as edges:
        for value in (9, 9, 1):
            edges.fires("load", value, at=8)


@step(Role.PRODUCER, Role.INTAKE, Role.OPERATOR)
def hands_in_by_command(stage: Stage) -> Iterator[None]:
    stage.deploy()
    yield
    told = stage.cli("accept", stdin=json.dumps(PLAIN))
    stage.cli("reschedule", json.loads(told)["notification_id"], "2100-01-01T00:00:00Z")
    stage.cli("cancel", json.loads(told)["notification_id"])


@step(Role.CONSUMER, lasts=True)
def consumes(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)
        client.xgroup_create(events.KEYS.stream, "gateway", id="0", mkstream=True)
        events.publish(client, 1, 2, 3)
        client.xreadgroup("gateway", "gone", {events.KEYS.stream: ">"}, count=1)
        events.leave_idle(client)
        events.publish(client, 4)
        client.xadd(events.KEYS.stream, {"nothing": "of ours"})
        seen = events.Seen(3)

        def done() -> bool:
            is_done = events.pending(client) == 0 and len(events.parked(client)) == 2
            return is_done or bool(stage.denied())

        async def consume() -> None:
            async with events.consuming(stage.url, seen) as consumer:
                await until(done, "all is handled or parked, or denied")
                await consumer.report()

        yield
        asyncio.run(consume())


@step(Role.CONSUMER)
def calls_for_a_group(stage: Stage) -> Iterator[None]:
    keys = events.KEYS
    with stage.server.client() as client:
        events.write_deployment(client)
        events.publish(client, 1, 2, 3)

        async def call() -> None:
            settings = settings_from({"redis": {"url": stage.url}})
            place = await ConsumerConnection.open(settings, "gw-1")
            assert place is not None
            member = GroupMember(place.client, keys, "gateway", "gw-1")
            try:
                await member.join()
                first, second, third = await member.read(3, 1)
                client.xdel(keys.stream, third.stream_id)
                await member.waiting(0, 0, 10)
                for entry in (second, third):
                    await member.take(Waiting(entry.stream_id, "gw-1", 0, 1), 0)
                await member.exists(first.stream_id)
                await member.seen([events.event_id(1)])
                await member.release([first.stream_id], 10)
                marks = MarkLimits(1000, 1000)
                await member.finish({first.stream_id: events.event_id(1)}, marks)
                await member.park(Parking(second.stream_id, 1, "why"), 10)
                await place.reports()
            finally:
                await place.close()

        yield
        asyncio.run(call())
