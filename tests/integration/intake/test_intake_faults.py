"""The intent stream where somebody else's keys are in the way, or ours are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake.plan import IntentLike
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.model.ids import id_for_key
from tests.support.deployment import Deploy
from tests.support.intake import (
    GROUP,
    KEYS,
    QUICK,
    hand_in,
    in_hand,
    intent,
    left,
    reading,
    rejects,
)
from tests.support.servers import Server
from tests.support.telemetry import Lines
from tests.support.wait import until


def test_wrong_type__of_the_rejects_holds_up_nobody(
    any_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """What can't be rejected waits, uncounted, until its key is free; the others go on."""
    deployment = deploy(any_server, **QUICK)
    deployment.client.set(KEYS.rejects, "foreign")
    hand_in(deployment.client, "{", intent(1))

    async def main() -> None:
        async with reading(deployment.settings):
            await until(lambda: left(deployment.client) == 1, "the good one is accepted")
            await until(lambda: _told(lines, "intents blocked"), "it is told")
            hand_in(deployment.client, intent(2))
            await until(lambda: left(deployment.client) == 1, "the next one is accepted")
            assert in_hand(deployment.client)["times_delivered"] < 5
            deployment.client.delete(KEYS.rejects)
            await until(lambda: not left(deployment.client), "it is rejected")
            await until(lambda: _told(lines, "intents no longer blocked"), "it is told")

    asyncio.run(main())
    assert [one["code"] for one in rejects(deployment.client)] == [b"invalid"]


def test_wrong_type__of_the_stream_is_waited_out(
    any_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """Somebody else's key in place of the stream is told once; reading begins when it is gone."""
    deployment = deploy(any_server)
    deployment.client.set(KEYS.stream, "foreign")

    async def main() -> None:
        async with reading(deployment.settings):
            await until(lambda: _told(lines, "redis unavailable"), "it is told")
            deployment.client.delete(KEYS.stream)
            hand_in(deployment.client, intent(1))
            await until(lambda: deployment.routes(), "it is accepted")

    asyncio.run(main())
    assert len(_told(lines, "redis unavailable")) == 1


def test_wrong_type__of_a_notification_is_of_one_intent(any_server: Server, deploy: Deploy) -> None:
    """Somebody else's key where a notification is to be holds up no other intent."""
    deployment = deploy(any_server, **QUICK)
    foreign = deployment.keys.notification(id_for_key("p", "k"))
    deployment.client.set(foreign, "foreign")
    hand_in(deployment.client, intent(1, idempotency_key="k"), intent(2))

    async def main() -> None:
        async with reading(deployment.settings):
            await until(lambda: left(deployment.client) == 1, "the other is accepted")
            deployment.client.delete(foreign)
            await until(lambda: not left(deployment.client), "it is accepted")

    asyncio.run(main())
    assert len(deployment.routes()) == 2


def test_full_server__is_waited_out(any_server: Server, deploy: Deploy, lines: Lines) -> None:
    """While Redis takes nothing more, nothing is acknowledged, rejected or counted."""
    deployment = deploy(any_server, **QUICK)
    hand_in(deployment.client, intent(1), intent(2))
    deployment.client.config_set("maxmemory", "1")

    async def main() -> None:
        async with reading(deployment.settings):
            await until(lambda: _told(lines, "redis unavailable"), "it is told")
            assert (left(deployment.client), rejects(deployment.client)) == (2, [])
            deployment.client.config_set("maxmemory", "0")
            await until(lambda: not left(deployment.client), "both are accepted")

    try:
        asyncio.run(main())
    finally:
        deployment.client.config_set("maxmemory", "0")
    assert len(deployment.routes()) == 2
    assert {line["code"] for line in _told(lines, "redis unavailable")} == {"OOM"}


def test_accept__that_the_server_forgot_is_made_again(
    any_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """What was accepted is accepted once more before it is acknowledged after an outage: the
    server that comes back may have lost the end of its file.
    """
    deployment = deploy(any_server)
    hand_in(deployment.client, intent(1))

    class Forgetful(AsyncNotifier):
        async def accept_many(self, intents: Iterable[IntentLike]) -> list[Receipt]:
            receipts = await super().accept_many(intents)
            if not _told(lines, "redis unavailable"):
                kept.append(deployment.client.dump(KEYS.stream))
                deployment.client.flushall()
                deployment.client.set(KEYS.stream, "not back yet")
            return receipts

    kept: list[Any] = []

    async def main() -> None:
        async with reading(deployment.settings, notifier=Forgetful(deployment.settings)):
            await until(lambda: _told(lines, "redis unavailable"), "it is away")
            deployment.client.delete(KEYS.stream)
            deployment.client.restore(KEYS.stream, 0, kept[0])
            await until(lambda: _told(lines, "redis available again"), "it is back")
            await until(lambda: not left(deployment.client), "it is acknowledged")

    asyncio.run(main())
    assert len(deployment.routes()) == 1


def test_stream__that_vanishes_is_made_again(any_server: Server, deploy: Deploy) -> None:
    """A deleted stream, or group, costs what was in it and nothing else."""
    deployment = deploy(any_server)

    async def main() -> None:
        async with reading(deployment.settings):
            await until(lambda: deployment.client.exists(KEYS.stream), "the group is there")
            deployment.client.delete(KEYS.stream)
            hand_in(deployment.client, intent(1))
            await until(lambda: deployment.routes(), "it is accepted")
            deployment.client.xgroup_destroy(KEYS.stream, GROUP)
            hand_in(deployment.client, intent(2))
            await until(lambda: len(deployment.routes()) == 2, "it is accepted")

    asyncio.run(main())


def _told(lines: Lines, event: str) -> list[dict[str, Any]]:
    return [line for line in lines() if line["event"] == event]
