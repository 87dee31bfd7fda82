"""purge: dead_letter → purged, and every state in which it writes nothing."""

from __future__ import annotations

import pytest

from galaxy_notify.model.route import Status
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import calls, dead_rows
from galaxy_notify.redis_state.dead_rows import DeadChange
from tests.support.dead_letters import ACTOR, DeadLetterFixture, dead_letter_fixture, snapshot
from tests.support.refusals import REFUSALS
from tests.support.servers import Server


def change(deployment: DeadLetterFixture, member: str) -> DeadChange:
    """Return the change that purges a dead letter as it is stored."""
    made, _, route_id = member.partition("/")
    state = deployment.state(member) or b""
    return DeadChange(made, route_id, state, deployment.route(member).purged(ACTOR))


def purge(deployment: DeadLetterFixture, *changes: DeadChange) -> list[str]:
    """Run the script; what is purged is kept for a minute."""
    return calls.words(
        run_sync(
            deployment.client, dead_rows.route_purge(deployment.key_space.keys(0), changes, 60_000)
        )
    )


def test_purge__ends_a_dead_letter(any_server: Server) -> None:
    """A purged route is final, its notification goes when its time is up."""
    with dead_letter_fixture(any_server) as deployment:
        (member,) = deployment.bury()
        assert purge(deployment, change(deployment, member)) == ["purged"]
        route = deployment.route(member)
        assert route.status is Status.PURGED
        assert (route.history[-1].event, route.history[-1].worker) == ("purged", ACTOR)
        assert deployment.dead() == {}
        key, _ = deployment.record(member)
        assert deployment.client.hget(key, "open") == b"0"
        assert 0 < int(deployment.client.pttl(key)) <= 60_000
        assert deployment.total("purged") == 1
        deployment.assert_conserved()


def test_purge__keeps_a_notification_that_others_need(server: Server) -> None:
    """While another route rests or waits, the notification stays for good."""
    with dead_letter_fixture(server) as deployment:
        first, second = deployment.bury(("push:u1", "push:u2"))
        key, _ = deployment.record(first)
        purge(deployment, change(deployment, first))
        assert deployment.client.pttl(key) == -1
        purge(deployment, change(deployment, second))
        assert int(deployment.client.pttl(key)) > 0


def test_purge__of_what_has_vanished_clears_the_index(server: Server) -> None:
    """An entry without a notification can still be got rid of, and is counted."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        asked = change(deployment, member)._replace(before=b"")
        deployment.client.delete(deployment.record(member)[0])
        assert purge(deployment, asked) == ["purged"]
        assert deployment.dead() == {}
        assert not deployment.client.exists(deployment.record(member)[0])
        deployment.assert_conserved()


def test_purge__of_what_is_scheduled_too_leaves_nothing(server: Server) -> None:
    """A dead letter that stood in the schedule as well leaves no count behind."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        keys = deployment.key_space.keys(0)
        deployment.client.zadd(keys.schedule("push"), {member: 1})
        deployment.client.hset(keys.abandoned("push"), member, 1)
        assert purge(deployment, change(deployment, member)) == ["purged"]
        assert not deployment.client.exists(keys.schedule("push"), keys.abandoned("push"))
        deployment.assert_conserved()


@pytest.mark.parametrize("case", REFUSALS)
def test_purge__refuses(case: str, any_server: Server) -> None:
    """Whatever is no dead letter as it was read stays as it is, byte for byte."""
    with dead_letter_fixture(any_server) as deployment:
        (member,) = deployment.bury()
        asked = change(deployment, member)
        word = REFUSALS[case](deployment, member)
        before = snapshot(deployment.client)
        assert purge(deployment, asked) == [word]
        assert snapshot(deployment.client) == before


def test_purge__twice_counts_once(server: Server) -> None:
    """The same call sent again, after a lost reply say, changes nothing."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        asked = change(deployment, member)
        purge(deployment, asked)
        before = snapshot(deployment.client)
        assert purge(deployment, asked) == ["gone"]
        assert snapshot(deployment.client) == before


def test_purge__runs_at_maxmemory(server: Server) -> None:
    """Giving dead letters up works just when there is no room."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        asked = change(deployment, member)
        purge(deployment)
        deployment.client.config_set("maxmemory", 1)
        try:
            answered = purge(deployment, asked)
        finally:
            deployment.client.config_set("maxmemory", 0)
        assert answered == ["purged"]
        assert deployment.dead() == {}
        assert deployment.route(member).status is Status.PURGED
        deployment.assert_conserved()
