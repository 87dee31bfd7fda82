"""What may have become of a dead letter since it was read: replay and purge must refuse it."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_notify.model.route import Status, body_of, decode_route
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import calls, dead_rows
from galaxy_notify.redis_state.calls import RouteChange
from galaxy_notify.redis_state.dead_rows import DeadChange
from galaxy_notify.redis_state.settlement import EventKind, Publish, RetryLater, Settlement
from tests.support.dead_letters import PLAIN, DeadLetterFixture


def _changes(deployment: DeadLetterFixture, member: str, after: bytes) -> DeadChange:
    made, _, route_id = member.partition("/")
    return DeadChange(made, route_id, deployment.state(member) or b"", after)


def _replayed(deployment: DeadLetterFixture, member: str) -> str:
    after = deployment.route(member).replayed("someone")
    keys = deployment.key_space.keys(0)
    run_sync(deployment.client, dead_rows.route_replay(keys, [_changes(deployment, member, after)]))
    return "gone"


def _purged(deployment: DeadLetterFixture, member: str) -> str:
    after = deployment.route(member).purged("someone")
    keys = deployment.key_space.keys(0)
    run_sync(
        deployment.client,
        dead_rows.route_purge(keys, [_changes(deployment, member, after)], 60_000),
    )
    return "gone"


def _leased(deployment: DeadLetterFixture, member: str) -> str:
    _replayed(deployment, member)
    assert deployment.claim("push", 0)
    return "gone"


def _failed(deployment: DeadLetterFixture, member: str) -> str:
    settlement, token = _taken(deployment, member)
    state = deployment.route(member).failed("worker", PLAIN.failure)
    settlement.add(RetryLater(member.encode(), state, 60_000))
    run_sync(deployment.client, settlement.call(deployment.key_space.keys(0), "push", token))
    assert deployment.route(member).status is Status.FAILED
    return "gone"


def _published(deployment: DeadLetterFixture, member: str) -> str:
    settlement, token = _taken(deployment, member)
    made, _, route_id = member.partition("/")
    route = deployment.route(member)
    body = body_of(route.published("worker"))
    kind = EventKind(60_000, None, False, "game.ready", "", "", "", "#2", body)
    event = Publish(member.encode(), route_id, made, route.due_at_ms, b"payload", kind)
    settlement.add(event)
    run_sync(deployment.client, settlement.call(deployment.key_space.keys(0), "push", token))
    assert deployment.route(member).status is Status.PUBLISHED
    return "gone"


def _cancelled(deployment: DeadLetterFixture, member: str) -> str:
    _replayed(deployment, member)
    made, _, route_id = member.partition("/")
    state = deployment.state(member) or b""
    change = RouteChange(route_id, state, decode_route(state).cancelled("someone"))
    keys = deployment.key_space.keys(0)
    run_sync(
        deployment.client, calls.route_cancel(keys, made, [change], keep_ms=60_000, mark=False)
    )
    assert deployment.route(member).status is Status.CANCELLED
    return "gone"


def _died_anew(deployment: DeadLetterFixture, member: str) -> str:
    _replayed(deployment, member)
    deployment.die("push", 0)
    assert deployment.route(member).status is Status.DEAD_LETTER
    return "changed"


def _state_gone(deployment: DeadLetterFixture, member: str) -> str:
    deployment.client.hdel(*deployment.record(member))
    return "changed"


def _hash_is_none(deployment: DeadLetterFixture, member: str) -> str:
    key, _ = deployment.record(member)
    deployment.client.delete(key)
    deployment.client.set(key, "foreign")
    return "changed"


def _index_is_none(deployment: DeadLetterFixture, member: str) -> str:
    key = deployment.key_space.keys(0).dead("push")
    deployment.client.delete(key)
    deployment.client.set(key, "foreign")
    return "fault"


#: What happened to the dead letter → the word with which it is refused.
REFUSALS: dict[str, Callable[[DeadLetterFixture, str], str]] = {
    "replayed": _replayed,
    "purged": _purged,
    "leased": _leased,
    "failed": _failed,
    "published": _published,
    "cancelled": _cancelled,
    "died anew": _died_anew,
    "its state is gone": _state_gone,
    "its notification is of another type": _hash_is_none,
    "the index is of another type": _index_is_none,
}


def _taken(deployment: DeadLetterFixture, member: str) -> tuple[Settlement, str]:
    _replayed(deployment, member)
    claimed = deployment.claim("push", 0)
    assert claimed
    return Settlement(), claimed.token
