"""What may have become of a dead letter since it was read: replay and purge must refuse it."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_notify.model.route import Status, body_of, decode_route
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import calls, dead_rows
from galaxy_notify.redis_state.calls import RouteChange
from galaxy_notify.redis_state.dead_rows import DeadChange
from galaxy_notify.redis_state.leases import EventKind, Publish, RetryLater, Settlement
from tests.support.dead import PLAIN, Graveyard


def _changes(yard: Graveyard, member: str, after: bytes) -> DeadChange:
    made, _, route_id = member.partition("/")
    return DeadChange(made, route_id, yard.state(member) or b"", after)


def _replayed(yard: Graveyard, member: str) -> str:
    after = yard.route(member).replayed("someone")
    keys = yard.key_space.keys(0)
    run_sync(yard.client, dead_rows.route_replay(keys, [_changes(yard, member, after)]))
    return "gone"


def _purged(yard: Graveyard, member: str) -> str:
    after = yard.route(member).purged("someone")
    keys = yard.key_space.keys(0)
    run_sync(yard.client, dead_rows.route_purge(keys, [_changes(yard, member, after)], 60_000))
    return "gone"


def _leased(yard: Graveyard, member: str) -> str:
    _replayed(yard, member)
    assert yard.claim("push", 0)
    return "gone"


def _failed(yard: Graveyard, member: str) -> str:
    settlement, token = _taken(yard, member)
    state = yard.route(member).failed("worker", PLAIN.failure)
    settlement.add(RetryLater(member.encode(), state, 60_000))
    run_sync(yard.client, settlement.call(yard.key_space.keys(0), "push", token))
    assert yard.route(member).status is Status.FAILED
    return "gone"


def _published(yard: Graveyard, member: str) -> str:
    settlement, token = _taken(yard, member)
    made, _, route_id = member.partition("/")
    route = yard.route(member)
    body = body_of(route.published("worker"))
    kind = EventKind(60_000, None, False, "game.ready", "", "", "", "#2", body)
    event = Publish(member.encode(), route_id, made, route.due_at_ms, b"payload", kind)
    settlement.add(event)
    run_sync(yard.client, settlement.call(yard.key_space.keys(0), "push", token))
    assert yard.route(member).status is Status.PUBLISHED
    return "gone"


def _cancelled(yard: Graveyard, member: str) -> str:
    _replayed(yard, member)
    made, _, route_id = member.partition("/")
    state = yard.state(member) or b""
    change = RouteChange(route_id, state, decode_route(state).cancelled("someone"))
    keys = yard.key_space.keys(0)
    run_sync(yard.client, calls.route_cancel(keys, made, [change], keep_ms=60_000, mark=False))
    assert yard.route(member).status is Status.CANCELLED
    return "gone"


def _died_anew(yard: Graveyard, member: str) -> str:
    _replayed(yard, member)
    yard.die("push", 0)
    assert yard.route(member).status is Status.DEAD_LETTER
    return "changed"


def _state_gone(yard: Graveyard, member: str) -> str:
    yard.client.hdel(*yard.record(member))
    return "changed"


def _hash_is_none(yard: Graveyard, member: str) -> str:
    key, _ = yard.record(member)
    yard.client.delete(key)
    yard.client.set(key, "foreign")
    return "changed"


def _index_is_none(yard: Graveyard, member: str) -> str:
    key = yard.key_space.keys(0).dead("push")
    yard.client.delete(key)
    yard.client.set(key, "foreign")
    return "fault"


#: What happened to the dead letter → the word with which it is refused.
REFUSALS: dict[str, Callable[[Graveyard, str], str]] = {
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


def _taken(yard: Graveyard, member: str) -> tuple[Settlement, str]:
    _replayed(yard, member)
    claimed = yard.claim("push", 0)
    assert claimed
    return Settlement(), claimed.token
