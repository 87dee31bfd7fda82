"""contact_change: all of a change, or nothing of it; and no contact of another channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from galaxy_notify.redis_state.contacts import (
    ANYTHING,
    MOST_CONTACTS,
    ContactChange,
    contact_change,
    read_changed,
)
from tests.scripts.support.injection import refuse_all
from tests.scripts.support.shard import Shard
from tests.scripts.support.snapshot import snapshot


def new(name: str, value: bytes = b"1new", expected: bytes = ANYTHING) -> ContactChange:
    """Return a change of a contact of the channel hooks."""
    return ContactChange("hooks", name, value, expected)


def change(shard: Shard, changes: Iterable[ContactChange], *whole: str) -> str:
    """Make changes of one user, and return the word of the answer."""
    return read_changed(shard.run(contact_change(shard.keys, "u1", changes, whole))).word


def refused(shard: Shard, changes: list[ContactChange], command: str, *whole: str) -> str:
    """Make changes while the server refuses a command, and return the word of the answer."""
    call = contact_change(shard.keys, "u1", changes, whole)
    return read_changed(refuse_all(shard, call, command).reply).word


def held(shard: Shard) -> dict[str, bytes]:
    """Return what is stored of the user."""
    found: Any = shard.client.hgetall(shard.keys.contacts("u1"))
    return {name.decode(): value for name, value in found.items()}


def test_change__again_is_the_same(shard: Shard) -> None:
    """A repeat finds its change made, whatever it demanded before."""
    changes = [new("a", expected=b""), new("b", b"", b"")]
    assert change(shard, changes, "hooks") == "changed"
    assert change(shard, changes, "hooks") == "same"
    assert held(shard) == {"hooks/a": b"1new"}


def test_change__of_a_whole_channel_leaves_the_others(shard: Shard) -> None:
    """What is not named goes, of these channels only; a longer name is another channel."""
    others = [ContactChange(channel, "x", b"1old") for channel in ("hook", "hooks2", "mail")]
    assert change(shard, [new("a"), new("b"), *others]) == "changed"
    assert change(shard, [new("c")], "hooks", "mail") == "changed"
    assert set(held(shard)) == {"hooks/c", "hook/x", "hooks2/x"}
    assert change(shard, [], "hooks") == "changed"
    assert set(held(shard)) == {"hook/x", "hooks2/x"}


@pytest.mark.parametrize("expected", [b"", b"1other"])
def test_change__is_not_made_of_something_else(shard: Shard, expected: bytes) -> None:
    """One contact that holds something else keeps all changes from being made."""
    change(shard, [new("a", b"1old")])
    before = snapshot(shard)
    assert change(shard, [new("b"), new("a", expected=expected)], "hooks") == "stale"
    assert snapshot(shard) == before
    assert change(shard, [new("a", expected=b"1old")]) == "changed"


def test_change__keeps_a_channel_small(shard: Shard) -> None:
    """One too many is refused; one in place of another is not, nor one of another channel."""
    full = [new(str(number)) for number in range(MOST_CONTACTS)]
    assert change(shard, full) == "changed"
    before = snapshot(shard)
    assert change(shard, [new("more")]) == "full"
    assert snapshot(shard) == before
    assert change(shard, [ContactChange("mail", "more", b"1new")]) == "changed"
    assert change(shard, [new("more"), new("0", b"")]) == "changed"
    assert change(shard, [new("more", b"1newer")]) == "changed"
    assert change(shard, [new(f"n{n}") for n in range(MOST_CONTACTS)], "hooks") == "changed"
    assert len(held(shard)) == MOST_CONTACTS + 1


def test_change__of_the_last_contact_leaves_no_key(shard: Shard) -> None:
    """A user without contacts has no key."""
    change(shard, [new("a")])
    assert change(shard, [new("a", b"")]) == "changed"
    assert not shard.client.exists(shard.keys.contacts("u1"))
    assert change(shard, [new("a", b"")]) == "same"


def test_change__leaves_a_foreign_key_alone(shard: Shard) -> None:
    """What has another type is not ours; a hash of another program is not read."""
    key = shard.keys.contacts("u1")
    shard.client.set(key, "foreign")
    assert change(shard, [new("a")]) == "foreign"
    assert shard.client.get(key) == b"foreign"
    shard.client.delete(key)
    shard.client.hset(key, mapping={str(number): "x" for number in range(5000)})
    assert change(shard, [new("a")]) == "full"


def test_change__that_only_removes_needs_no_memory(shard: Shard) -> None:
    """At maxmemory a contact can be removed, and none can be stored."""
    change(shard, [new("a"), new("b")])
    assert refused(shard, [new("a", b"")], "HSET") == "changed"
    assert refused(shard, [new("c")], "HSET", "hooks") == "fault"
    assert set(held(shard)) == {"hooks/b"}


def test_change__that_was_refused_in_between_is_completed(shard: Shard) -> None:
    """New contacts are stored first: a refusal leaves too many, and a repeat removes them."""
    change(shard, [new("a")])
    assert refused(shard, [new("b")], "HDEL", "hooks") == "fault"
    assert set(held(shard)) == {"hooks/a", "hooks/b"}
    assert change(shard, [new("b")], "hooks") == "changed"
    assert set(held(shard)) == {"hooks/b"}
