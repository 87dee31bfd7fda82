"""Every key of every script is of another type in turn: nothing is half written."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.keys import Keys
from tests.scripts.support.invariants import assert_at_rest, assert_consistent, converge
from tests.scripts.support.scenarios import SCENARIOS
from tests.scripts.support.shard import Shard, shard_on
from tests.scripts.support.snapshot import snapshot
from tests.support.servers import Server

#: What a user missed while such a key was in the way is announced by a reset, so it is replaced;
#: an unread mark can be made again from Postgres; a rate begins again, and must not stop a channel;
#: an edge rather fires once more than never.
_REPLACED = tuple(
    getattr(Keys("gn", 0), name)("") for name in ("recent", "presence", "unread", "rate", "edge")
)


def _keys_of(shard: Shard, call: ScriptCall) -> list[str]:
    """Return every key that the call may touch: its own, and those in the shard's state."""
    built = [shard.keys.schedule("email"), shard.keys.dead("push"), shard.keys.leases("push")]
    built.append(shard.keys.abandoned("push"))
    found = {*call.keys[:-1], *built, *snapshot(shard)}
    return sorted(found)


def _run_broken(shard: Shard, call: ScriptCall, key: str) -> None:
    """Run the call while a key is a plain string, then put back what it was."""
    client: Any = shard.client
    kept, ttl = client.dump(key), client.pttl(key)
    client.delete(key)
    client.set(key, "foreign")
    before = snapshot(shard)
    try:
        shard.run(call)
    except RedisFault:
        assert snapshot(shard, without=_scratch(shard)) == _less(before, _scratch(shard))
    if not key.startswith(_REPLACED):
        assert client.get(key) == b"foreign"
    client.delete(key)
    if kept is not None:
        client.restore(key, max(ttl, 0), kept)


def _scratch(shard: Shard) -> tuple[str, ...]:
    """Return what a claim or a finish may have written before it failed."""
    return (shard.keys.leases("push"), shard.keys.schedule("push"), shard.keys.seen("gateway"))


def _less(state: dict[str, Any], without: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key not in without}


def _number_of_keys(server: Server, name: str) -> int:
    server.flush()
    with shard_on(server) as shard:
        return len(_keys_of(shard, SCENARIOS[name](shard)))


@pytest.mark.parametrize("name", SCENARIOS)
def test_wrong_type__of_any_key_breaks_nothing_else(name: str, any_server: Server) -> None:
    """The call fails or answers; once the key is back, every route comes to its end."""
    for number in range(_number_of_keys(any_server, name)):
        any_server.flush()
        with shard_on(any_server) as shard:
            call = SCENARIOS[name](shard)
            key = _keys_of(shard, call)[number]
            try:
                _run_broken(shard, call, key)
                _check(shard, call)
            except AssertionError as error:
                raise AssertionError(f"while {key} was a string") from error


def _check(shard: Shard, call: ScriptCall) -> None:
    assert_consistent(shard)
    shard.run(call)
    converge(shard)
    assert_at_rest(shard, exact=False)
