"""The intent stream where somebody else's keys are in the way, or ours are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from galaxy_notify.model.ids import id_for_key
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
from tests.support.site import Site
from tests.support.telemetry import Lines
from tests.support.wait import until

Found = Callable[..., Site]


def test_wrong_type__of_the_rejects_holds_up_nobody(
    any_server: Server, found: Found, lines: Lines
) -> None:
    """What can't be rejected waits, uncounted, until its key is free; the others go on."""
    site = found(any_server, **QUICK)
    site.client.set(KEYS.rejects, "foreign")
    hand_in(site.client, "{", intent(1))

    async def main() -> None:
        async with reading(site.settings):
            await until(lambda: left(site.client) == 1, "the good one is accepted", 30)
            await until(lambda: _told(lines, "intents set aside"), "it is told", 30)
            hand_in(site.client, intent(2))
            await until(lambda: left(site.client) == 1, "the next one is accepted", 30)
            assert in_hand(site.client)["times_delivered"] < 5
            site.client.delete(KEYS.rejects)
            await until(lambda: not left(site.client), "it is rejected", 30)
            await until(lambda: _told(lines, "no intents set aside any more"), "it is told", 30)

    asyncio.run(main())
    assert [one["code"] for one in rejects(site.client)] == [b"invalid"]


def test_wrong_type__of_the_stream_is_waited_out(
    any_server: Server, found: Found, lines: Lines
) -> None:
    """Somebody else's key in place of the stream is told once; reading begins when it is gone."""
    site = found(any_server)
    site.client.set(KEYS.stream, "foreign")

    async def main() -> None:
        async with reading(site.settings):
            await until(lambda: _told(lines, "redis unavailable"), "it is told", 30)
            site.client.delete(KEYS.stream)
            hand_in(site.client, intent(1))
            await until(lambda: site.routes(), "it is accepted", 30)

    asyncio.run(main())
    assert len(_told(lines, "redis unavailable")) == 1


def test_wrong_type__of_a_notification_is_of_one_intent(any_server: Server, found: Found) -> None:
    """Somebody else's key where a notification is to be holds up no other intent."""
    site = found(any_server, **QUICK)
    foreign = site.keys.notification(id_for_key("p", "k"))
    site.client.set(foreign, "foreign")
    hand_in(site.client, intent(1, idempotency_key="k"), intent(2))

    async def main() -> None:
        async with reading(site.settings):
            await until(lambda: left(site.client) == 1, "the other is accepted", 30)
            site.client.delete(foreign)
            await until(lambda: not left(site.client), "it is accepted", 30)

    asyncio.run(main())
    assert len(site.routes()) == 2


def test_stream__that_vanishes_is_made_again(any_server: Server, found: Found) -> None:
    """A deleted stream, or group, costs what was in it and nothing else."""
    site = found(any_server)

    async def main() -> None:
        async with reading(site.settings):
            await until(lambda: site.client.exists(KEYS.stream), "the group is there")
            site.client.delete(KEYS.stream)
            hand_in(site.client, intent(1))
            await until(lambda: site.routes(), "it is accepted", 30)
            site.client.xgroup_destroy(KEYS.stream, GROUP)
            hand_in(site.client, intent(2))
            await until(lambda: len(site.routes()) == 2, "it is accepted", 30)

    asyncio.run(main())


def _told(lines: Lines, event: str) -> list[dict[str, Any]]:
    return [line for line in lines() if line["event"] == event]
