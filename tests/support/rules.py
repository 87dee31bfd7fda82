"""Users with preferences, and what became of what they were told."""

from __future__ import annotations

import json
from typing import Any

from galaxy_notify.model.route import Route, Status
from tests.support.deployment import DeploymentFixture


def prefer(deployment: DeploymentFixture, user: str, **fields: Any) -> None:
    """Store what a user wants: ``every``, a type, ``in_app:…``, ``silenced`` or ``quiet``."""
    for keys in deployment.key_space.all_keys:
        deployment.client.set(keys.preferred, "1")
    names = {"every": "*", "silenced": "silenced", "quiet": "quiet"}
    stored = {
        names.get(name, name if ":" in name else f"type:{name}"): value
        if isinstance(value, str)
        else json.dumps(value)
        for name, value in fields.items()
    }
    key = deployment.key_space.keys_of_user(user).preferences(user)
    deployment.client.hset(key, mapping=stored)  # type: ignore[arg-type]  # text


def outcomes(deployment: DeploymentFixture, made: str) -> dict[str, str]:
    """Return what became of each route: its status, or why it was skipped."""
    found = {}
    for member, route in deployment.routes().items():
        name, _, route_id = member.partition("/")
        if name.partition(".")[0] == made:
            found[route_id] = outcome(route)
    return found


def outcome(route: Route) -> str:
    """Return what became of a route: its status, or why it was skipped."""
    skipped = route.status is Status.SKIPPED
    return route.history[-1].failure_class if skipped else str(route.status)


def told(deployment: DeploymentFixture, *users: str, kind: str = "chat", **fields: Any) -> str:
    """Hand in what is told some users, and return its id."""
    return deployment.notify(*users, type=kind, **fields)
