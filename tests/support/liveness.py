"""What makes a deployment look well or late: workers that tell of themselves, routes made older."""

from __future__ import annotations

from typing import Any

from tests.support.dead_letters import DeadLetterFixture


def age(deployment: DeadLetterFixture, member: str, ms: int) -> None:
    """Let a route have been due for so long: its state, and its place in the schedule."""
    key, route_id = deployment.record(member)
    before = deployment.route(member).due_at_ms
    due = before - ms
    state = (deployment.state(member) or b"").replace(b"%d" % before, b"%d" % due)
    deployment.client.hset(key, route_id, state)
    deployment.client.zadd(deployment.key_space.keys(0).schedule("push"), {member: due})


def alive(deployment: DeadLetterFixture, progress_ms: int | None = None, **about: str) -> None:
    """Let a worker tell that it lives, and this about itself."""
    keys = deployment.key_space.keys(0)
    seconds: Any = deployment.client.time()
    now = progress_ms or seconds[0] * 1000
    fields: Any = {"host": "h", "pid": "7", "version": "0.1.0", "progress_ms": str(now)}
    deployment.client.hset(keys.worker("h-7-abcd"), mapping=fields | about)
    deployment.client.zadd(keys.workers, {"h-7-abcd": now})
