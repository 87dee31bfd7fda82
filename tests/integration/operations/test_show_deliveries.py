"""What operators see of routes of external channels: status, show, list, metrics, cooldowns."""

from __future__ import annotations

import asyncio

import pytest

from galaxy_notify import Inspector
from galaxy_notify.operations.status import read_status
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_inspect.gauges import read_gauges
from tests.support.delivered_routes import Outcome, dead, delivered, ended, partly, skipped
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server


def _totals(deployment: DeploymentFixture) -> dict[str, int]:
    return read_status(deployment.connected).totals


def test_status__has_deliveries_apart(any_server: Server, deploy: Deploy) -> None:
    """What was delivered is not counted as published too, and everything adds up."""
    deployment = deploy(any_server)
    for outcome in (delivered, delivered, skipped, partly, dead):
        ended(deployment, outcome)
    deployment.notify("u2")
    deployment.worker_harness().step()
    assert deployment.totals()["published"] == 3
    status = read_status(deployment.connected)
    totals, push = status.totals, status.channels["push"]
    assert (totals["published"], totals["delivered"], totals["skipped"]) == (1, 2, 1)
    assert status.skipped["read"] == 1
    ends = ("published", "delivered", "cancelled", "expired", "skipped", "purged")
    assert totals["accepted"] == push.scheduled + push.dead + sum(totals[end] for end in ends)


def test_gauges__have_deliveries_apart(server: Server, deploy: Deploy) -> None:
    """The metrics count as `status` does."""
    deployment = deploy(server)
    ended(deployment, delivered)

    async def read() -> dict[str, int]:
        client = open_async(deployment.settings, connections=1, name="x")
        try:
            seen = await read_gauges(client, deployment.keys, ["push"])
        finally:
            await client.aclose()
        return {outcome: count for (_, outcome), count in seen.totals.items()}

    told = asyncio.run(read())
    assert (told["published"], told["delivered"], told["accepted"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("outcome", "status", "why"),
    [
        (delivered, "delivered", "delivered "),
        (skipped, "skipped", "the user had read it before it was due here"),
        (partly, "failed", "sent to 1 of its addresses so far"),
        (dead, "dead_letter", "endpoint_down: no answer"),
    ],
)
def test_show__says_why(
    outcome: Outcome, status: str, why: str, server: Server, deploy: Deploy
) -> None:
    """The sentence says what became of it, or what is still to be done."""
    deployment = deploy(server)
    member = ended(deployment, outcome)
    with Inspector.from_url(server.url) as inspector:
        shown = inspector.show(member)
        assert shown is not None
        (route,) = shown.routes
        assert route.status == status
        assert why in route.why
        listed = inspector.list(state=status).items
    assert [item.states for item in listed] == [{status: 1}]


def test_cooldown__is_held_by_a_delivery(server: Server, deploy: Deploy) -> None:
    """A notification that was delivered holds its cooldown; one that was not sent does not."""
    deployment = deploy(server, rules__cooldown_ms=3_600_000)
    ended(deployment, skipped, type="one")
    assert deployment.notifier.accept(_again("one")).skipped == 0
    ended(deployment, delivered, type="two")
    assert deployment.notifier.accept(_again("two")).skipped == 1


def _again(kind: str) -> dict[str, object]:
    return {"type": kind, "producer": "lobby", "recipients": ["u1"]}
