"""What makes a deployment look well or late: workers that tell of themselves, routes made older."""

from __future__ import annotations

from typing import Any

from tests.support.dead import Graveyard


def age(yard: Graveyard, member: str, ms: int) -> None:
    """Let a route have been due for so long: its state, and its place in the schedule."""
    key, route_id = yard.record(member)
    before = yard.route(member).due_at_ms
    due = before - ms
    state = (yard.state(member) or b"").replace(b"%d" % before, b"%d" % due)
    yard.client.hset(key, route_id, state)
    yard.client.zadd(yard.key_space.keys(0).schedule("push"), {member: due})


def alive(yard: Graveyard, progress_ms: int | None = None, **about: str) -> None:
    """Let a worker tell that it lives, and this about itself."""
    keys = yard.key_space.keys(0)
    seconds: Any = yard.client.time()
    now = progress_ms or seconds[0] * 1000
    fields: Any = {"host": "h", "pid": "7", "version": "0.1.0", "progress_ms": str(now)}
    yard.client.hset(keys.worker("h-7-abcd"), mapping=fields | about)
    yard.client.zadd(keys.workers, {"h-7-abcd": now})
