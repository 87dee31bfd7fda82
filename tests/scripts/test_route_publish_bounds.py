"""route_publish: how much one call does, and what a second one finds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.publish_call import read_published, route_publish
from tests.scripts.support.invariants import assert_at_rest, assert_counted
from tests.scripts.support.shard import LIMITS, TERMS, Shard, at, new, shard_on
from tests.support.servers import Server

FEW = replace(LIMITS, members=2)


@pytest.mark.parametrize(("members", "taken"), [(2, 2), (0, 1), (1_000, 256)])
def test_publish__reads_as_many_as_its_limit(members: int, taken: int, shard: Shard) -> None:
    """At least one, and 256 at most; what is next due comes first."""
    for number in range(1, 261):
        shard.accept(number)
    assert shard.publish(limits=replace(LIMITS, members=members)).routes == taken
    assert len(shard.schedule()) == 260 - taken
    assert f"{1:032x}/push:u1" not in shard.schedule()
    assert_counted(shard)


def test_publish__wakes_another_while_more_may_be_due(shard: Shard) -> None:
    """A full call passes the wake-up on, once; one that is not full does not."""
    wake = shard.keys.wake("push")
    for number in range(1, 6):
        shard.accept(number)
    shard.client.delete(wake)
    for routes, woken in ((2, 1), (2, 1), (1, 1)):
        assert shard.publish(limits=FEW).routes == routes
        assert shard.client.llen(wake) == woken
    shard.client.delete(wake)
    shard.accept(6)
    shard.client.delete(wake)
    assert shard.publish(limits=FEW).routes == 1
    assert not shard.client.exists(wake)


def test_publish__ends_at_its_budget(shard: Shard) -> None:
    """The notification that reaches the budget of bytes is the last of the call."""
    for number in range(1, 6):
        shard.answers(new(number, filler=10_000))
    limits = replace(LIMITS, bytes=25_000)
    assert [shard.publish(limits=limits).routes for _ in range(4)] == [2, 2, 1, 0]
    assert_at_rest(shard)


def test_publish__of_a_group_ends_at_its_budget_after_the_group(shard: Shard) -> None:
    """All routes of a notification are one step."""
    shard.answers(new(1, [f"push:u{n}" for n in range(10)], filler=10_000), new(2))
    published = shard.publish(limits=replace(LIMITS, bytes=25_000))
    assert (published.routes, published.left) == (10, 0)
    assert len(shard.schedule()) == 1


def test_publish__twice_publishes_once(shard: Shard) -> None:
    """The same call sent again finds nothing due."""
    shard.accept(1, "push:u1", "push:u2")
    shard.accept(2)
    call = route_publish(shard.keys, "push", LIMITS, TERMS, shard.now)
    words = [read_published(shard.run(call)) for _ in range(2)]
    assert [(found.word, found.routes) for found in words] == [("published", 3), ("idle", 0)]
    assert len(shard.events()) == 3
    assert_at_rest(shard)


def test_publish__by_several_callers_publishes_each_route_once(any_server: Server) -> None:
    """Publishers without leases, and one with, share a backlog: the state is the only fence."""
    with shard_on(any_server) as shard:
        for number in range(1, 301):
            shard.accept(number, *(f"push:u{n}" for n in range(number % 3 + 1)))
        limits = replace(LIMITS, members=7)
        call = route_publish(shard.keys, "push", limits, TERMS, shard.now)

        def drain(_: int) -> int:
            routes = 0
            with any_server.client() as client:
                while (found := read_published(run_sync(client, at(call, shard.now)))).routes:
                    routes += found.routes
            return routes

        with ThreadPoolExecutor(4) as pool:
            routes = list(pool.map(drain, range(4)))
        assert sum(routes) == len(shard.events()) == 600
        assert_at_rest(shard)


def test_publish__has_the_guard_against_a_moving_slot(shard: Shard) -> None:
    """The last key is the one that never exists; every key is of the shard's slot."""
    call = route_publish(shard.keys, "push", LIMITS, TERMS, shard.now)
    assert call.keys[-1] == shard.keys.never
    assert all(str(key).startswith(shard.keys.tag) for key in call.keys)
