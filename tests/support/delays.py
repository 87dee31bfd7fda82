"""A deployment with the feed, a webhook that comes later, and an e-mail that does not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tests.support.deployment import DeploymentFixture

DELAY_MS: Final = 300_000
DELAYED: Final[dict[str, Any]] = {
    "worker__channels": ["push", "in_app", "webhook", "email"],
    "channels": {"webhook": {"kind": "log", "delay_ms": DELAY_MS}, "email": {"kind": "log"}},
}
#: Of an intent: the channels of an escalation.
BOTH: Final[dict[str, Any]] = {"channels": ["in_app", "webhook"]}


def due_times(deployment: DeploymentFixture, made: str) -> dict[str, int]:
    """Return when each route of a notification is due."""
    routes = ((*member.partition("/")[::2], route) for member, route in deployment.routes().items())
    return {
        route_id: route.due_at_ms
        for name, route_id, route in routes
        if name.partition(".")[0] == made
    }


def lateness(deployment: DeploymentFixture, made: str) -> dict[str, int]:
    """Return how long after its accept each new route of a notification is due."""
    at_ms = {
        member.partition("/")[2]: route.at_ms
        for member, route in deployment.routes().items()
        if member.partition("/")[0].partition(".")[0] == made
    }
    return {
        route_id: due_ms - at_ms[route_id]
        for route_id, due_ms in due_times(deployment, made).items()
    }


def make_due(deployment: DeploymentFixture, channel: str, members: Iterable[str]) -> None:
    """Have delayed routes of a channel be due now, whatever their delay."""
    for member in members:
        part, _, route_id = member.partition("/")
        keys = deployment.key_space.keys_for(part)
        state: Any = deployment.client.hget(keys.notification(part), route_id)
        now = deployment.now()
        deployment.client.hset(
            keys.notification(part), route_id, state[:15] + b"%013d" % now + state[28:]
        )
        deployment.client.zadd(keys.schedule(channel), {member: now})
        deployment.client.rpush(keys.wake(channel), "1")
