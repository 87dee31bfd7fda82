"""What a worker of external channels does, as steps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from galaxy_notify.model.route import Failure, decode_route
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_state.delivery_outcomes import Deliver, DeliveryOutcome, GiveUp
from galaxy_notify.redis_state.leases import ClaimedMember, ClaimLimits
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.settlement import RetryLater
from galaxy_notify.redis_state.store import Store
from tests.support.roles import Stage, step


@step(Role.DAEMON)
def ends_deliveries(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    for _ in range(3):
        deployment.notify("u1")

    async def deliver() -> None:
        client = open_async(deployment.settings_at(stage.url), connections=1, name="x")
        store = Store(client, deployment.keys, lambda *_: None)
        limits = ClaimLimits(1, 30_000, 1 << 20, 300_000, 0)
        try:
            for number in range(3):
                token = f"host-1-abcd:{number}:30000:1"
                (claimed,) = (await store.claim("push", token, limits)).members
                await store.end("push", token, [_outcome(number, claimed)])
        finally:
            await client.aclose()

    yield
    asyncio.run(deliver())


def _outcome(number: int, claimed: ClaimedMember) -> DeliveryOutcome:
    member, route = claimed.member, decode_route(claimed.state)
    if number == 0:
        return Deliver(member, route.delivered("host-1-abcd"), 1000)
    failure = Failure("delivery_failed", "no answer")
    if number == 1:
        return RetryLater(member, route.failed("host-1-abcd", failure), 1000)
    state = route.dead_lettered("host-1-abcd", failure, attempt=True)
    return GiveUp(member, state, failure.failure_class)


@step(Role.DAEMON)
def takes_sends(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()

    async def take() -> None:
        client = open_async(deployment.settings_at(stage.url), connections=1, name="x")
        store = Store(client, deployment.keys, lambda *_: None)
        try:
            await store.take_sends("push", interval_us=1000, burst=1, wanted=1)
        finally:
            await client.aclose()

    yield
    asyncio.run(take())
