"""replay: dead_letter → pending, and every state in which it writes nothing."""

from __future__ import annotations

import pytest

from galaxy_notify.model.ids import event_id
from galaxy_notify.model.route import Status, decode_route
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import calls, dead_rows
from galaxy_notify.redis_state.dead_rows import DeadChange
from tests.support.dead_letters import ACTOR, DeadLetterFixture, dead_letter_fixture, snapshot
from tests.support.refusals import REFUSALS
from tests.support.servers import Server


def change(deployment: DeadLetterFixture, member: str, before: bytes | None = None) -> DeadChange:
    """Return the change that replays a dead letter as it is stored, or as it was read *before*."""
    state = before or deployment.state(member) or b""
    made, _, route_id = member.partition("/")
    return DeadChange(made, route_id, state, decode_route(state).replayed(ACTOR))


def replay(deployment: DeadLetterFixture, *changes: DeadChange) -> list[str]:
    """Run the script."""
    return calls.words(
        run_sync(deployment.client, dead_rows.route_replay(deployment.key_space.keys(0), changes))
    )


def test_replay__makes_a_dead_letter_due_again(any_server: Server) -> None:
    """A replayed route starts anew: due now, no attempts spent, in its next generation."""
    with dead_letter_fixture(any_server) as deployment:
        (member,) = deployment.bury()
        dead_lettered = deployment.route(member)
        assert replay(deployment, change(deployment, member)) == ["replayed"]
        route = deployment.route(member)
        assert (route.status, route.generation, route.attempts) == (Status.PENDING, 2, 0)
        assert route.due_at_ms == route.at_ms >= dead_lettered.at_ms
        assert route.failure is None
        assert event_id(member, route.generation) == f"{member}#2"
        assert deployment.dead() == {}
        assert deployment.scheduled() == {member}
        assert deployment.total("replayed") == 1
        deployment.assert_conserved()


def test_replay__is_audited(server: Server) -> None:
    """The history keeps why it died, and says who sent it again."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        dead_lettered = deployment.route(member)
        replay(deployment, change(deployment, member))
        *past, last = deployment.route(member).history
        assert tuple(past) == dead_lettered.history
        assert past[-1].failure_class == "payload_encoding_failed"
        assert (last.event, last.worker) == ("replayed", ACTOR)


def test_replay__keeps_the_notification(server: Server) -> None:
    """A notification with a route on its way never expires."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        key, _ = deployment.record(member)
        deployment.client.pexpire(key, 60_000)
        replay(deployment, change(deployment, member))
        assert deployment.client.pttl(key) == -1
        assert deployment.client.hget(key, "open") == b"1"


def test_replay__wakes_one_worker(server: Server) -> None:
    """However many are replayed, one wake-up waits for the channel."""
    with dead_letter_fixture(server) as deployment:
        members = deployment.bury(number=3)
        deployment.client.delete(deployment.key_space.keys(0).wake("push"))
        replay(deployment, *(change(deployment, member) for member in members))
        assert deployment.client.llen(deployment.key_space.keys(0).wake("push")) == 1


def test_replay__twice_moves_nothing_the_second_time(server: Server) -> None:
    """Whoever sends the same call again, after a lost reply say, changes nothing."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        again = change(deployment, member)
        replay(deployment, again)
        before = snapshot(deployment.client)
        assert replay(deployment, again) == ["gone"]
        assert snapshot(deployment.client) == before


@pytest.mark.parametrize("case", REFUSALS)
def test_replay__refuses(case: str, any_server: Server) -> None:
    """Whatever is no dead letter as it was read stays as it is, byte for byte."""
    with dead_letter_fixture(any_server) as deployment:
        (member,) = deployment.bury()
        asked = change(deployment, member)
        word = REFUSALS[case](deployment, member)
        before = snapshot(deployment.client)
        assert replay(deployment, asked) == [word]
        assert snapshot(deployment.client) == before


def test_replay__of_a_vanished_notification_makes_none(server: Server) -> None:
    """What is gone cannot be sent again, and no half notification comes to be."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        asked = change(deployment, member)
        deployment.client.delete(deployment.record(member)[0])
        before = snapshot(deployment.client)
        assert replay(deployment, asked) == ["changed"]
        assert snapshot(deployment.client) == before


def test_replay__at_maxmemory_writes_nothing(server: Server) -> None:
    """Where there is no room, a dead letter stays dead."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        asked = change(deployment, member)
        replay(deployment)
        before = snapshot(deployment.client)
        deployment.client.config_set("maxmemory", 1)
        try:
            assert replay(deployment, asked) == ["fault"]
        finally:
            deployment.client.config_set("maxmemory", 0)
        assert snapshot(deployment.client) == before


def test_replay__answers_each_item_in_order(server: Server) -> None:
    """One that cannot be moved holds up no other."""
    with dead_letter_fixture(server) as deployment:
        first, gone, last = deployment.bury(number=3)
        asked = [change(deployment, member) for member in (first, gone, last)]
        deployment.client.zrem(deployment.key_space.keys(0).dead("push"), gone)
        assert replay(deployment, *asked) == ["replayed", "gone", "replayed"]
        assert deployment.scheduled() == {first, last}
        assert deployment.total("replayed") == 2
