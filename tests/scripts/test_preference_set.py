"""prefer and recall: what users want is stored whole, may be sent twice, and is read again."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.model.preference import LONGEST
from galaxy_notify.model.user_preferences import MOST_FIELDS, UserPreferences
from galaxy_notify.redis_client.faults import Garbled, RedisFault
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.preferences import (
    PreferencePage,
    UserChange,
    preference_read,
    preference_read_page,
    preference_set,
    read_preferences,
)
from tests.scripts.support.injection import Injected, refuse_all
from tests.scripts.support.shard import Shard
from tests.scripts.support.snapshot import snapshot
from tests.support.refusing import out_of_memory
from tests.support.servers import Server

WISH = b'{"channels":["push"]}'
OTHER = b'{"min_severity":"notice"}'


def _prefer(shard: Shard, *changes: UserChange) -> list[str]:
    return [answer.word for answer in calls.answers(shard.run(preference_set(shard.keys, changes)))]


def _fields(shard: Shard, user: str) -> dict[bytes, bytes]:
    found: Any = shard.client.hgetall(shard.keys.preferences(user))
    return dict(found)


def _store(shard: Shard, user: str, **fields: bytes) -> None:
    shard.client.hset(shard.keys.preferences(user), mapping=dict(fields))  # type: ignore[arg-type]  # bytes


def _recall(shard: Shard, *users: str) -> dict[str, UserPreferences]:
    found = read_preferences(shard.run(preference_read(shard.keys, *users)))
    return {name.decode(): preferences for name, preferences in found.users}


def _everybody(shard: Shard) -> dict[bytes, UserPreferences]:
    found: dict[bytes, UserPreferences] = {}
    page = PreferencePage(b"0", ())
    while not found or page.cursor != b"0":
        page = read_preferences(shard.run(preference_read_page(shard.keys, page.cursor)))
        found |= dict(page.users)
    return found


def test_prefer__changes_what_is_named_and_nothing_else(shard: Shard) -> None:
    """Fields are set and taken away; the others, and other users, keep theirs."""
    _store(shard, "u1", quiet=b"q", silenced=b"1")
    _store(shard, "u2", quiet=b"q")
    change = UserChange("u1", {"type:chat": WISH, "silenced": b"", "type:none": b""})
    assert _prefer(shard, change) == ["changed"]
    assert _fields(shard, "u1") == {b"type:chat": WISH, b"quiet": b"q"}
    assert _fields(shard, "u2") == {b"quiet": b"q"}


def test_prefer__may_replace_the_whole(shard: Shard) -> None:
    """A user who is replaced keeps nothing else; who is replaced by nothing is gone."""
    _store(shard, "u1", quiet=b"q", silenced=b"1")
    _store(shard, "u2", quiet=b"q")
    changes = [UserChange("u1", {"*": WISH, "quiet": b""}, True), UserChange("u2", {}, True)]
    assert _prefer(shard, *changes) == ["changed", "changed"]
    assert _fields(shard, "u1") == {b"*": WISH}
    assert not shard.client.exists(shard.keys.preferences("u2"))


def test_prefer__twice_says_same_and_writes_nothing(shard: Shard) -> None:
    """What is stored already is not written again."""
    changes = [
        UserChange("u1", {"*": WISH, "quiet": b""}),
        UserChange("u2", {"*": WISH}, True),
        UserChange("u3", {}, True),
        UserChange("u4", {"silenced": b""}),
    ]
    assert _prefer(shard, *changes) == ["changed", "changed", "same", "same"]
    before = snapshot(shard)
    assert _prefer(shard, *changes) == ["same"] * 4
    assert snapshot(shard) == before


def test_prefer__marks_the_shard_before_anything_is_stored(shard: Shard) -> None:
    """Without the mark nobody looks: it comes first, alone if so asked, and is not taken back."""
    assert _prefer(shard, UserChange("u1", {"*": b""}), UserChange("u1", {}, True)) == ["same"] * 2
    assert not shard.client.exists(shard.keys.preferred)
    assert _prefer(shard) == []
    assert shard.client.get(shard.keys.preferred) == b"1"
    shard.client.delete(shard.keys.preferred)
    assert _prefer(shard, UserChange("u1", {"*": WISH})) == ["changed"]
    assert _prefer(shard, UserChange("u1", {}, True)) == ["changed"]
    assert shard.client.get(shard.keys.preferred) == b"1"


def _refused(shard: Shard, command: str) -> Injected:
    change = UserChange("u1", {"*": OTHER, "quiet": b""})
    return refuse_all(shard, preference_set(shard.keys, [change]), command)


@pytest.mark.parametrize("command", ["SET", "HSET", "HLEN", "HMGET", "EXISTS"])
def test_prefer__that_is_refused_leaves_everything_as_it_was(shard: Shard, command: str) -> None:
    """A user loses nothing by a change that cannot be made."""
    _store(shard, "u1", quiet=b"q")
    before = _fields(shard, "u1")
    assert _refused(shard, command).reply[0] == b"fault"
    assert _fields(shard, "u1") == before


def test_prefer__that_cannot_take_away_leaves_too_much(shard: Shard) -> None:
    """What is wanted is there; what is to go goes with the second run."""
    _store(shard, "u1", quiet=b"q")
    assert _refused(shard, "HDEL").reply[0] == b"fault"
    assert _fields(shard, "u1") == {b"*": OTHER, b"quiet": b"q"}
    assert _prefer(shard, UserChange("u1", {"*": OTHER, "quiet": b""})) == ["changed"]


def test_prefer__takes_away_when_memory_is_full(shard: Shard, any_server: Server) -> None:
    """Nothing can be added, but everybody can be forgotten and resumed."""
    _store(shard, "u1", quiet=b"q", silenced=b"1")
    _store(shard, "u2", quiet=b"q")
    with out_of_memory(any_server):
        words = _prefer(
            shard,
            UserChange("u3", {"*": WISH}),
            UserChange("u1", {"silenced": b""}),
            UserChange("u2", {}, True),
        )
    assert words == ["fault", "changed", "changed"]
    assert _fields(shard, "u1") == {b"quiet": b"q"}


def test_prefer__bounds_the_fields_of_a_user(shard: Shard) -> None:
    """One more than there may be is refused; what is there can be changed and replaced."""
    full = {f"type:t{number}": WISH for number in range(MOST_FIELDS)}
    assert _prefer(shard, UserChange("u1", full)) == ["changed"]
    assert _prefer(shard, UserChange("u1", {"*": WISH})) == ["full"]
    assert _prefer(shard, UserChange("u1", full | {"*": WISH}, True)) == ["full"]
    assert _prefer(shard, UserChange("u1", {"type:t0": OTHER})) == ["changed"]
    assert len(_fields(shard, "u1")) == MOST_FIELDS
    assert _prefer(shard, UserChange("u1", {"*": WISH}, True)) == ["changed"]
    assert _fields(shard, "u1") == {b"*": WISH}


def test_prefer__does_not_walk_through_what_is_none_of_ours(shard: Shard) -> None:
    """A hash with far too many fields is refused, and can be deleted."""
    huge: Any = {f"n{number}": "x" for number in range(5 * MOST_FIELDS)}
    shard.client.hset(shard.keys.preferences("u1"), mapping=huge)
    assert _prefer(shard, UserChange("u1", {"*": WISH}, True)) == ["full"]
    assert _recall(shard, "u1")["u1"].unreadable == ("(all)",)
    assert _prefer(shard, UserChange("u1", {}, True)) == ["changed"]


def test_prefer__leaves_a_key_of_another_type_alone(shard: Shard) -> None:
    """The neighbours of such a user are stored; that user's key is not ours to remove."""
    shard.client.set(shard.keys.preferences("u1"), "foreign")
    changes = [
        UserChange("u1", {"*": WISH}),
        UserChange("u1", {"*": WISH}, True),
        UserChange("u1", {"*": b""}),
        UserChange("u1", {}, True),
        UserChange("u2", {"*": WISH}),
    ]
    assert _prefer(shard, *changes) == [*["foreign"] * 4, "changed"]
    assert shard.client.get(shard.keys.preferences("u1")) == b"foreign"


def test_recall__returns_what_was_stored(shard: Shard) -> None:
    """One user or many, and one who never said anything."""
    wanted = UserPreferences.from_fields({b"*": WISH, b"type:chat": OTHER, b"silenced": b"1"})
    assert wanted.unreadable == ()
    _prefer(shard, UserChange("u1", wanted.to_fields(), True))
    before = snapshot(shard)
    assert _recall(shard, "u1", "u2", "u1") == {"u1": wanted, "u2": UserPreferences()}
    assert snapshot(shard) == before


def test_recall__names_what_cannot_be_read(shard: Shard) -> None:
    """A broken field, one that is too long and one of nobody's are told; the rest is read."""
    fields: dict[Any, Any] = {
        "*": WISH,
        "quiet": b"\xff",
        "type:long": b'"' + b"x" * LONGEST + b'"',
        "type:": WISH,
        b"\xff\xfe": b"1",
        "silenced": b"yes",
    }
    shard.client.hset(shard.keys.preferences("u1"), mapping=fields)
    found = _recall(shard, "u1")["u1"]
    assert found.of_every_type is not None
    assert found.unreadable == ("quiet", "silenced", "type:", "type:long", "\ufffd\ufffd")
    assert not found.silenced


def test_recall__does_not_send_what_is_too_long(shard: Shard) -> None:
    """A field of megabytes is told as one that cannot be read, without its content."""
    fields: dict[Any, Any] = {"*": b"x" * (1 << 20), "quiet": b"y" * LONGEST}
    shard.client.hset(shard.keys.preferences("u1"), mapping=fields)
    _, (_, flat) = shard.run(preference_read(shard.keys, "u1"))
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == {b"*": b"", b"quiet": b"y" * LONGEST}


def test_recall__walks_through_all_users_of_the_shard(shard: Shard) -> None:
    """Every user comes, a strange key too, and nothing of other shards or other keys."""
    shard.accept(1)
    users = [f"u{number}" for number in range(1000)]
    _prefer(shard, *(UserChange(user, {"*": WISH}) for user in users))
    shard.client.set(shard.keys.preferences("odd"), "foreign")
    shard.client.hset("{gn:1}:preferences:other", mapping={"*": WISH})
    found = _everybody(shard)
    assert sorted(found) == sorted(name.encode() for name in [*users, "odd"])
    assert found[b"odd"].unreadable == ("(all)",)


def test_recall__that_is_refused_is_an_error(shard: Shard) -> None:
    """Without the permission to look, nobody is told to want nothing."""
    _store(shard, "u1", silenced=b"1")
    for command in ("HLEN", "HGETALL"):
        assert refuse_all(shard, preference_read(shard.keys, "u1"), command).failed
    assert refuse_all(shard, preference_read_page(shard.keys), "SCAN").failed


@pytest.mark.parametrize("reply", [None, 7, b"OK", [], [b"0"], [b"0", [b"u1"]], [b"0", 7]])
def test_recalled__an_answer_of_another_shape_is_none(reply: object) -> None:
    """A reply of another shape raises the one error for that."""
    with pytest.raises(Garbled):
        read_preferences(reply)


def test_prefer__marks_or_fails(shard: Shard, any_server: Server) -> None:
    """A shard that cannot be marked is told, so that nothing is stored elsewhere."""
    with out_of_memory(any_server), pytest.raises(RedisFault):
        shard.run(preference_set(shard.keys, ()))
