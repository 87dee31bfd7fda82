"""purge: dead_letter → purged, and every state in which it writes nothing."""

from __future__ import annotations

import pytest

from galaxy_notify.model.route import Status
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import calls, dead_rows
from galaxy_notify.redis_state.dead_rows import DeadChange
from tests.support.dead import ACTOR, Graveyard, graveyard, snapshot
from tests.support.refusals import REFUSALS
from tests.support.servers import Server


def change(yard: Graveyard, member: str) -> DeadChange:
    """Return the change that purges a dead letter as it is stored."""
    made, _, route_id = member.partition("/")
    state = yard.state(member) or b""
    return DeadChange(made, route_id, state, yard.route(member).purged(ACTOR))


def purge(yard: Graveyard, *changes: DeadChange) -> list[str]:
    """Run the script; what is purged is kept for a minute."""
    return calls.words(
        run_sync(yard.client, dead_rows.route_purge(yard.key_space.keys(0), changes, 60_000))
    )


def test_purge__ends_a_dead_letter(any_server: Server) -> None:
    """A purged route is final, its notification goes when its time is up."""
    with graveyard(any_server) as yard:
        (member,) = yard.bury()
        assert purge(yard, change(yard, member)) == ["purged"]
        route = yard.route(member)
        assert route.status is Status.PURGED
        assert (route.history[-1].event, route.history[-1].worker) == ("purged", ACTOR)
        assert yard.dead() == {}
        key, _ = yard.record(member)
        assert yard.client.hget(key, "open") == b"0"
        assert 0 < int(yard.client.pttl(key)) <= 60_000
        assert yard.total("purged") == 1
        yard.assert_conserved()


def test_purge__keeps_a_notification_that_others_need(server: Server) -> None:
    """While another route rests or waits, the notification stays for good."""
    with graveyard(server) as yard:
        first, second = yard.bury(("push:u1", "push:u2"))
        key, _ = yard.record(first)
        purge(yard, change(yard, first))
        assert yard.client.pttl(key) == -1
        purge(yard, change(yard, second))
        assert int(yard.client.pttl(key)) > 0


def test_purge__of_what_has_vanished_clears_the_index(server: Server) -> None:
    """An entry without a notification can still be got rid of, and is counted."""
    with graveyard(server) as yard:
        (member,) = yard.bury()
        asked = change(yard, member)._replace(before=b"")
        yard.client.delete(yard.record(member)[0])
        assert purge(yard, asked) == ["purged"]
        assert yard.dead() == {}
        assert not yard.client.exists(yard.record(member)[0])
        yard.assert_conserved()


def test_purge__of_what_is_scheduled_too_leaves_nothing(server: Server) -> None:
    """A dead letter that stood in the schedule as well leaves no count behind."""
    with graveyard(server) as yard:
        (member,) = yard.bury()
        keys = yard.key_space.keys(0)
        yard.client.zadd(keys.schedule("push"), {member: 1})
        yard.client.hset(keys.abandoned("push"), member, 1)
        assert purge(yard, change(yard, member)) == ["purged"]
        assert not yard.client.exists(keys.schedule("push"), keys.abandoned("push"))
        yard.assert_conserved()


@pytest.mark.parametrize("case", REFUSALS)
def test_purge__refuses(case: str, any_server: Server) -> None:
    """Whatever is no dead letter as it was read stays as it is, byte for byte."""
    with graveyard(any_server) as yard:
        (member,) = yard.bury()
        asked = change(yard, member)
        word = REFUSALS[case](yard, member)
        before = snapshot(yard.client)
        assert purge(yard, asked) == [word]
        assert snapshot(yard.client) == before


def test_purge__twice_counts_once(server: Server) -> None:
    """The same call sent again, after a lost reply say, changes nothing."""
    with graveyard(server) as yard:
        (member,) = yard.bury()
        asked = change(yard, member)
        purge(yard, asked)
        before = snapshot(yard.client)
        assert purge(yard, asked) == ["gone"]
        assert snapshot(yard.client) == before


def test_purge__runs_at_maxmemory(server: Server) -> None:
    """Giving dead letters up works just when there is no room."""
    with graveyard(server) as yard:
        (member,) = yard.bury()
        asked = change(yard, member)
        purge(yard)
        yard.client.config_set("maxmemory", 1)
        try:
            answered = purge(yard, asked)
        finally:
            yard.client.config_set("maxmemory", 0)
        assert answered == ["purged"]
        assert yard.dead() == {}
        assert yard.route(member).status is Status.PURGED
        yard.assert_conserved()
