"""Routes of external channels, brought to their ends by the script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from galaxy_notify.model.route import Failure, Route
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.delivery_outcomes import (
    Deliver,
    DeliveryOutcome,
    GiveUp,
    Skip,
    read_ended,
    route_end,
)
from galaxy_notify.redis_state.settlement import RetryLater
from tests.support.deployment import DeploymentFixture, member_of

WORKER = "host-9-new"
FAILURE = Failure("endpoint_down", "no answer")
DONE = ("c-1",)
LATER_MS = 600_000
Outcome = Callable[[bytes, Route], DeliveryOutcome]


def delivered(member: bytes, route: Route) -> DeliveryOutcome:
    """It was sent."""
    return Deliver(member, route.delivered(WORKER), 3_600_000)


def skipped(member: bytes, route: Route) -> DeliveryOutcome:
    """The user had read it."""
    return Skip(member, route.skipped(WORKER, "read"), 3_600_000, "read")


def partly(member: bytes, route: Route) -> DeliveryOutcome:
    """One of its addresses has it; the others are tried later."""
    return RetryLater(member, route.failed(WORKER, FAILURE, DONE), LATER_MS)


def dead(member: bytes, route: Route) -> DeliveryOutcome:
    """One of its addresses has it; the others are given up."""
    state = route.dead_lettered(WORKER, FAILURE, attempt=True, done=DONE)
    return GiveUp(member, state, FAILURE.failure_class)


def ended(
    deployment: DeploymentFixture, outcome: Outcome, channel: str = "push", **fields: Any
) -> str:
    """Return the member of a route of u1 that came to this end."""
    notification_id = deployment.notify("u1", channels=[channel], **fields)
    member, keys = (
        member_of(notification_id, "u1", channel),
        deployment.key_space.keys_for(notification_id),
    )
    claim = deployment.claim(channel, keys.shard)
    assert claim is not None
    given = outcome(member.encode(), deployment.route(member))
    call = route_end(keys, channel, claim.token, [given], None)
    (answer,) = read_ended(run_sync(deployment.client, call), 1).answers
    assert answer.word in ("delivered", "skipped", "retried", "buried")
    return member
