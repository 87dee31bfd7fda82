"""An endpoint that lost what it got: sent again what ended since a moment, as far as it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.channels.webhook_endpoint import NewEndpoint, WebhookEndpoint
from galaxy_notify.channels.webhook_endpoints import WebhookEndpoints
from galaxy_notify.channels.webhook_replay import MOST_FAILURES, EndpointReplay
from galaxy_notify.channels.webhook_trials import WebhookTrials
from galaxy_notify.operations.dead_moves import Run
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_inspect import deliveries
from galaxy_notify.redis_inspect.deliveries import ended_since
from galaxy_notify.webhooks.signature import message_id
from tests.support.contacts import sections
from tests.support.delivered_routes import dead, delivered, ended, partly, skipped
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server
from tests.support.wait import wait_until
from tests.support.webhook_owner import WebhookOwner, webhook_owner


@pytest.fixture
def owner() -> Iterator[WebhookOwner]:
    """Give the owner of an endpoint."""
    with webhook_owner() as made:
        yield made


@pytest.fixture
def deployment(server: Server, deploy: Deploy, owner: WebhookOwner) -> DeploymentFixture:
    """Give a deployment of two shards whose channel may send to the owner."""
    made = sections()
    made["worker"]["shards"] = 2
    made["channels"] = {**made["channels"], "hooks": {"kind": "webhook", **owner.allowed}}
    return deploy(server, **made)


def added(deployment: DeploymentFixture, owner: WebhookOwner, *types: str) -> WebhookEndpoint:
    """Return a new endpoint of u1 at the owner."""
    endpoints = WebhookEndpoints(deployment.settings)
    flow = endpoints.add(deployment.key_space, NewEndpoint("u1", owner.url, types))
    return run_flow_sync(deployment.client, flow)


def replayed(deployment: DeploymentFixture, endpoint: WebhookEndpoint, since_ms: int = 0) -> Any:
    """Return what became of a replay."""
    replay = EndpointReplay(deployment.connected, endpoint, since_ms)

    async def send() -> None:
        async with WebhookTrials(deployment.settings) as trials:
            await replay.run(trials, Run("me"))

    asyncio.run(send())
    return replay.outcome


def next_millisecond(deployment: DeploymentFixture) -> None:
    """Wait until what ends is later than all before: shards have no order within a millisecond."""
    now = deployment.now()
    wait_until(lambda: deployment.now() > now, "the next millisecond")


def test_replay__sends_what_ended(deployment: DeploymentFixture, owner: WebhookOwner) -> None:
    """Delivered and skipped ones by itself, dead letters by workers; what waits is left alone."""
    first = ended(deployment, delivered, "hooks", title="one")
    next_millisecond(deployment)
    second = ended(deployment, skipped, "hooks", title="two")
    buried = ended(deployment, dead, "hooks")
    ended(deployment, partly, "hooks")
    endpoint = added(deployment, owner)
    outcome = replayed(deployment, endpoint)
    assert (outcome.sent, outcome.dead.moved, outcome.gone) == (2, 1, 0)
    assert outcome.is_whole
    assert [one.event["title"] for one in owner.received] == ["one", "two"]
    ids = [one.verified(endpoint.secret) for one in owner.received]
    assert ids == [message_id(first), message_id(second)]
    assert deployment.route(buried).generation == 2
    again = replayed(deployment, endpoint)
    assert (again.sent, again.dead.matched) == (2, 0)


def test_replay__of_what_is_asked_for(deployment: DeploymentFixture, owner: WebhookOwner) -> None:
    """Other channels, other types and what ended before are not sent."""
    ended(deployment, delivered, "hooks", type="a.b", title="before")
    (entry,) = ended_since(deployment.connected, "u1", "hooks", 0)
    next_millisecond(deployment)
    ended(deployment, delivered, "mine", type="a.b", title="other channel")
    ended(deployment, delivered, "hooks", type="x.y", title="other type")
    ended(deployment, delivered, "hooks", type="a.b", title="after")
    outcome = replayed(deployment, added(deployment, owner, "a.*"), entry.at_ms + 1)
    assert [one.event["title"] for one in owner.received] == ["after"]
    assert outcome.sent == 1


def test_replay__counts_what_is_gone(deployment: DeploymentFixture, owner: WebhookOwner) -> None:
    """A notification that is no longer kept is counted; one that cannot be read is no obstacle."""
    gone, broken = (ended(deployment, delivered, "hooks") for _ in range(2))
    ended(deployment, delivered, "hooks", title="kept")
    deployment.client.delete(key_of(deployment, gone))
    deployment.client.hset(key_of(deployment, broken), "hooks:u1", "1")
    deployment.whole = False
    outcome = replayed(deployment, added(deployment, owner))
    assert (outcome.sent, outcome.gone) == (1, 1)
    assert dict(outcome.failed) == {"its state cannot be read": 1}
    assert not outcome.is_whole
    assert [one.event["title"] for one in owner.received] == ["kept"]


def test_replay__stops_where_the_endpoint_does_not_work(
    deployment: DeploymentFixture, owner: WebhookOwner
) -> None:
    """The rest is left, and it says where to go on."""
    owner.status = 500
    for _ in range(MOST_FAILURES + 2):
        ended(deployment, delivered, "hooks")
    buried = ended(deployment, dead, "hooks")
    outcome = replayed(deployment, added(deployment, owner))
    assert dict(outcome.failed) == {"it answered 500": MOST_FAILURES}
    assert len(owner.received) == MOST_FAILURES
    first, *_ = ended_since(deployment.connected, "u1", "hooks", 0)
    assert outcome.stopped_at_ms == first.at_ms
    assert deployment.route(buried).generation == 1


def test_replay__of_a_stream_that_was_trimmed(
    deployment: DeploymentFixture, owner: WebhookOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says since when everything is known."""
    monkeypatch.setattr(deliveries, "_FULL", 1)
    ended(deployment, delivered, "hooks")
    (first,) = ended_since(deployment.connected, "u1", "hooks", 0)
    outcome = replayed(deployment, added(deployment, owner))
    assert outcome.kept_since_ms == first.at_ms
    assert not outcome.is_whole
    assert outcome.as_json()["kept_since_ms"] == first.at_ms


def key_of(deployment: DeploymentFixture, member: str) -> str:
    """Return the key of the notification of a member."""
    notification_id = member.partition("/")[0]
    return deployment.key_space.keys_for(notification_id).notification(notification_id)
