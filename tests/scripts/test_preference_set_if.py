"""preference_set under a condition: a change is made if nothing was changed since it was read."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.model.preference import LONGEST
from galaxy_notify.model.user_preferences import MOST_FIELDS, digest_of
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.preferences import (
    UserChange,
    preference_read,
    preference_set,
    read_preferences,
)
from tests.scripts.support.injection import refuse_all
from tests.scripts.support.shard import Shard
from tests.scripts.support.snapshot import snapshot

WISH = b'{"channels":["push"]}'
OTHER = b'{"min_severity":"notice"}'


def _prefer(shard: Shard, *changes: UserChange) -> list[str]:
    return [answer.word for answer in calls.answers(shard.run(preference_set(shard.keys, changes)))]


def _fields(shard: Shard, user: str) -> dict[bytes, bytes]:
    found: Any = shard.client.hgetall(shard.keys.preferences(user))
    return dict(found)


def _store(shard: Shard, user: str, **fields: bytes) -> None:
    shard.client.hset(shard.keys.preferences(user), mapping=dict(fields))  # type: ignore[arg-type]  # bytes


def _seen(shard: Shard, user: str) -> list[str]:
    ((_, found),) = read_preferences(shard.run(preference_read(shard.keys, user))).users
    return [found.digest]


def test_prefer__depends_on_what_was_read(shard: Shard) -> None:
    """Who changed what was read before comes first; the second change is not made."""
    _store(shard, "u1", quiet=b"q", silenced=b"1")
    first = _seen(shard, "u1")
    for whole in (True, False):
        seen = _seen(shard, "u1")
        assert _prefer(shard, UserChange("u1", {"*": WISH}, whole, seen)) == ["changed"]
        before = snapshot(shard)
        for change in ({"*": OTHER}, {"silenced": b"1"}, {}, {"*": b""}):
            assert _prefer(shard, UserChange("u1", change, True, first)) == ["stale"]
        assert _prefer(shard, UserChange("u1", {"*": OTHER}, False, first)) == ["stale"]
        assert _prefer(shard, UserChange("u1", {"*": b""}, False, first)) == ["stale"]
        assert snapshot(shard) == before
        _prefer(shard, UserChange("u1", {"*": OTHER}))
    assert _prefer(shard, UserChange("u1", {}, True, [*first, *_seen(shard, "u1")])) == ["changed"]
    assert _seen(shard, "u1") == [digest_of({})]
    assert _prefer(shard, UserChange("u1", {"*": WISH}, True, _seen(shard, "u1"))) == ["changed"]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("fields", [{"*": WISH, "quiet": b""}, {"*": WISH}, {"quiet": b""}, {}])
def test_prefer__twice_is_no_conflict_with_itself(
    shard: Shard, fields: dict[str, bytes], whole: bool
) -> None:
    """The first one's answer may be lost; one who finds it all done says so."""
    _store(shard, "u1", quiet=b"q", silenced=b"1")
    change = UserChange("u1", fields, whole, _seen(shard, "u1"))
    assert _prefer(shard, change) == ["changed" if fields or whole else "same"]
    before = snapshot(shard)
    assert _prefer(shard, change) == ["same"]
    assert snapshot(shard) == before


def test_digest__is_that_of_what_is_read(shard: Shard) -> None:
    """Whatever the fields hold, and in whatever order; too many of them have none."""
    odd: dict[Any, Any] = {
        "*": b"x" * (LONGEST + 1),
        b"\xff\x00": b"",
        "a": b"1",
        "a1": b"",
        "B": b"b",
    }
    shard.client.hset(shard.keys.preferences("u1"), mapping=odd)
    seen = _seen(shard, "u1")
    assert _prefer(shard, UserChange("u1", {"silenced": b"1"}, False, ["-"])) == ["stale"]
    assert _prefer(shard, UserChange("u1", {"silenced": b"1"}, False, seen)) == ["changed"]
    assert _seen(shard, "u1") != seen
    assert len({digest_of({b"a": b"1b"}), digest_of({b"a1": b"b"}), digest_of({b"a": b"b"})}) == 3
    huge: Any = {f"n{number}": "x" for number in range(5 * MOST_FIELDS)}
    shard.client.hset(shard.keys.preferences("u1"), mapping=huge)
    assert _seen(shard, "u1") == [""]
    assert _prefer(shard, UserChange("u1", {}, True, seen)) == ["stale"]


@pytest.mark.parametrize("command", ["HLEN", "HGETALL"])
def test_prefer__that_cannot_look_changes_nothing(shard: Shard, command: str) -> None:
    """Without knowing what is there, nothing is written over."""
    _store(shard, "u1", quiet=b"q")
    change = UserChange("u1", {"*": OTHER}, True, _seen(shard, "u1"))
    refused = refuse_all(shard, preference_set(shard.keys, [change]), command)
    assert refused.reply[0] == b"fault"
    assert _fields(shard, "u1") == {b"quiet": b"q"}
    shard.client.set(shard.keys.preferences("u2"), "foreign")
    assert _prefer(shard, UserChange("u2", {}, True, ["-"])) == ["foreign"]


def test_prefer__after_a_fault_depends_on_what_is_stored_then(shard: Shard) -> None:
    """A change of which a part is stored is not taken for one that nobody made."""
    _store(shard, "u1", quiet=b"q")
    change = UserChange("u1", {"*": OTHER}, True, _seen(shard, "u1"))
    assert refuse_all(shard, preference_set(shard.keys, [change]), "HDEL").reply[0] == b"fault"
    assert _fields(shard, "u1") == {b"*": OTHER, b"quiet": b"q"}
    assert _prefer(shard, change) == ["stale"]
    assert _prefer(shard, change._replace(expected=_seen(shard, "u1"))) == ["changed"]
    assert _fields(shard, "u1") == {b"*": OTHER}
