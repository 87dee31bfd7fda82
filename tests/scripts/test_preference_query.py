"""consult: what many users want to be told of one type, in one call that writes nothing."""

from __future__ import annotations

import pytest

from galaxy_notify.model.preference import LONGEST, PreferenceFields
from galaxy_notify.redis_client.faults import Garbled, RedisFault
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.preferences import MOST_USERS, preference_query, read_queried
from tests.scripts.support.injection import refuse_all
from tests.scripts.support.shard import Shard
from tests.scripts.support.snapshot import snapshot


def _store(shard: Shard, user: str, **fields: bytes) -> None:
    names = {"of_type": "type:chat", "other": "type:mail", "every": "*"}
    names |= {"in_app": "in_app:type:chat", "in_app_other": "in_app:type:mail", "feed": "in_app:*"}
    mapping = {names.get(name, name): value for name, value in fields.items()}
    shard.client.hset(shard.keys.preferences(user), mapping=mapping)  # type: ignore[arg-type]  # bytes


def _query_stored(shard: Shard, *users: str) -> list[PreferenceFields]:
    return read_queried(shard.run(preference_query(shard.keys, "chat", users)), len(users))


def test_query__answers_each_user_in_order(shard: Shard) -> None:
    """Six values for each user, absent ones as such, and not a byte written."""
    _store(shard, "u1", of_type=b"t", every=b"e", silenced=b"1", quiet=b"q", in_app=b"0", feed=b"1")
    _store(shard, "u3", other=b"m", quiet=b"", in_app_other=b"0")
    before = snapshot(shard)
    found = _query_stored(shard, "u1", "u2", "u3", "u1")
    assert found == [
        PreferenceFields(b"t", b"e", b"1", b"q", b"0", b"1"),
        PreferenceFields(),
        PreferenceFields(quiet=b""),
        PreferenceFields(b"t", b"e", b"1", b"q", b"0", b"1"),
    ]
    assert snapshot(shard) == before


def test_query__of_a_key_of_another_type_knows_nothing(shard: Shard) -> None:
    """The user whose key somebody overwrote has no preferences; the neighbours have theirs."""
    _store(shard, "u1", every=b"e")
    shard.client.set(shard.keys.preferences("u2"), "foreign")
    _store(shard, "u3", every=b"\xff\0")
    assert _query_stored(shard, "u1", "u2", "u3") == [
        PreferenceFields(None, b"e"),
        PreferenceFields(),
        PreferenceFields(None, b"\xff\0"),
    ]


def test_query__that_is_refused_takes_nobody_for_one_who_wants_all(shard: Shard) -> None:
    """Without the permission to look it is an error, not an answer."""
    _store(shard, "u1", silenced=b"1")
    call: ScriptCall = preference_query(shard.keys, "chat", ["u1"])
    assert refuse_all(shard, call, "HMGET").failed


def test_query__passes_over_what_is_too_long(shard: Shard) -> None:
    """A field that is longer than any of ours is not sent at all."""
    _store(shard, "u1", of_type=b"x" * LONGEST, every=b"x" * (LONGEST + 1))
    assert _query_stored(shard, "u1") == [PreferenceFields(b"x" * LONGEST)]


def test_query__takes_as_many_users_as_it_promises(shard: Shard) -> None:
    """A full call is answered for every user."""
    users = [f"u{number}" for number in range(MOST_USERS)]
    for user in users[::2]:
        _store(shard, user, silenced=b"1")
    found = _query_stored(shard, *users)
    assert [bool(stored.silenced) for stored in found] == [True, False] * (MOST_USERS // 2)
    assert _query_stored(shard) == []


@pytest.mark.parametrize("reply", [None, b"OK", 7, [None] * 4, {}, [None] * 12])
def test_queryed__an_answer_of_another_shape_is_none(reply: object) -> None:
    """What answers for another number of users is read for nobody."""
    with pytest.raises(Garbled):
        read_queried(reply, 1)


def test_queryed__strange_values_count_as_nothing() -> None:
    """A value that is no text is passed over."""
    assert read_queried([b"t", 7, RedisFault, [], None, 0], 1) == [PreferenceFields(b"t")]
