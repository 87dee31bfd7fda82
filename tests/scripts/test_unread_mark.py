"""unread_mark: the newest counts stay, whoever comes last."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.recent import presence_attend, read_here
from galaxy_notify.redis_state.unread import (
    KEEP_MS,
    Marked,
    UserCounts,
    mark_query,
    read_mark,
    read_marked,
    unread_mark,
)
from tests.scripts.support.injection import refuse_all, refuse_nth
from tests.scripts.support.shard import Shard
from tests.scripts.support.snapshot import snapshot

FIRST, SECOND, RESTORED = Counts(1, 1, 1, 1), Counts(2, 1, 2, 1), Counts(7, 7, 1, 2)


def _call(shard: Shard, *marks: tuple[str, Counts]) -> ScriptCall:
    return unread_mark(shard.keys, [UserCounts(*mark) for mark in marks])


def _mark(shard: Shard, *marks: tuple[str, Counts]) -> list[Marked]:
    return read_marked(shard.run(_call(shard, *marks)), len(marks))


def _read(shard: Shard, user: str = "u1") -> Counts | None:
    client: Any = shard.client
    return read_mark(client.execute_command(*mark_query(shard.keys, user).command))


@pytest.mark.parametrize("order", list(permutations([FIRST, SECOND, RESTORED])))
def test_mark__is_the_newest_in_any_order(shard: Shard, order: tuple[Counts, ...]) -> None:
    """A later epoch wins whatever its version; within an epoch the version decides."""
    for counts in order:
        _mark(shard, ("u1", counts))
    assert _read(shard) == RESTORED


def test_mark__again_changes_nothing(shard: Shard) -> None:
    """A repeat is answered as known, and does not make the mark live longer."""
    assert [one.is_new for one in _mark(shard, ("u1", SECOND))] == [True]
    shard.client.pexpire(shard.keys.unread("u1"), 60_000)
    before = snapshot(shard)
    found = _mark(shard, ("u1", SECOND), ("u1", FIRST))
    assert found == [Marked(is_new=False)] * 2
    assert snapshot(shard) == before
    assert 0 < int(shard.client.pttl(shard.keys.unread("u1"))) <= 60_000


def test_mark__has_an_end(shard: Shard) -> None:
    """Each write renews it."""
    _mark(shard, ("u1", FIRST))
    shard.client.pexpire(shard.keys.unread("u1"), 10_000)
    _mark(shard, ("u1", SECOND))
    assert 10_000 < int(shard.client.pttl(shard.keys.unread("u1"))) <= KEEP_MS


def test_mark__names_the_instances_that_are_present(shard: Shard) -> None:
    """Applications that hold connections of their own have no inbox; what lapsed is gone."""
    for instance, ttl_ms in (("gw-1", 30_000), ("gw-2", 10), ("app:a", 30_000)):
        shard.run(presence_attend(shard.keys, instance, ["u1"], ttl_ms))
    shard.now += 11
    call = unread_mark(shard.keys, [UserCounts("u1", FIRST)], shard.now)
    assert read_marked(shard.run(call), 1) == [Marked(True, ("gw-1",))]


@pytest.mark.parametrize("kind", ["text", "fields", "digits", "missing"])
def test_mark__that_cannot_be_read_is_replaced(shard: Shard, kind: str) -> None:
    """Whatever stands there, its user has the counts, and the neighbours theirs."""
    client: Any = shard.client
    fields = {"unread": "1", "unseen": "1", "version": "99", "epoch": "9"}
    if kind == "text":
        client.set(shard.keys.unread("u1"), "foreign")
    elif kind == "missing":
        client.hset(shard.keys.unread("u1"), mapping={"version": "99", "epoch": "9"})
    else:
        wrong = {"fields": {"unread": "-1"}, "digits": {"epoch": "9" * 16}}[kind]
        client.hset(shard.keys.unread("u1"), mapping=fields | wrong)
    assert _read(shard, "u2") is None
    found = _mark(shard, ("u1", FIRST), ("u2", FIRST))
    assert [one.is_new for one in found] == [True, True]
    assert (_read(shard), _read(shard, "u2")) == (FIRST, FIRST)


def test_mark__that_is_refused_names_its_user(shard: Shard) -> None:
    """A refused write concerns its user alone."""
    injected = refuse_nth(shard, _call(shard, ("u1", FIRST), ("u2", FIRST)), 2)
    assert injected.command == "HSET"
    first, second = read_marked(injected.reply, 2)
    assert (first, second) == (Marked(False, reason="ERR injected"), Marked(True))
    assert (_read(shard), _read(shard, "u2")) == (None, FIRST)


@pytest.mark.parametrize("command", ["HMGET", "HSET"])
def test_mark__without_a_right_stays_as_it_is(shard: Shard, command: str) -> None:
    """It is a fault of each user, with the reason."""
    _mark(shard, ("u1", FIRST))
    before = snapshot(shard)
    (found,) = read_marked(refuse_all(shard, _call(shard, ("u1", SECOND)), command).reply, 1)
    assert found == Marked(False, reason="ERR injected")
    assert snapshot(shard) == before


def test_attend__gives_the_counts(shard: Shard) -> None:
    """An instance that missed counts sees them with the presence; what is no mark is none."""
    _mark(shard, ("u1", SECOND))
    shard.client.set(shard.keys.unread("u2"), "foreign")
    shard.client.hset(shard.keys.unread("u3"), mapping={"unread": "1", "version": "x"})
    users = ["u1", "u2", "u3", "u4"]
    found = read_here(shard.run(presence_attend(shard.keys, "gw-1", users, 1000)), 4)
    assert [here and here.counts for here in found] == [SECOND, None, None, None]
