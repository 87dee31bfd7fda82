"""replay: dead_letter → pending, and every state in which it writes nothing."""

from __future__ import annotations

import pytest

from galaxy_notify.model.ids import event_id
from galaxy_notify.model.route import Status, decode_route
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import calls, dead_rows
from galaxy_notify.redis_state.dead_rows import DeadChange
from tests.support.dead import ACTOR, Graveyard, graveyard, snapshot
from tests.support.refusals import REFUSALS
from tests.support.servers import Server


def change(yard: Graveyard, member: str, before: bytes | None = None) -> DeadChange:
    """Return the change that replays a dead letter as it is stored, or as it was read *before*."""
    state = before or yard.state(member) or b""
    made, _, route_id = member.partition("/")
    return DeadChange(made, route_id, state, decode_route(state).replayed(ACTOR))


def replay(yard: Graveyard, *changes: DeadChange) -> list[str]:
    """Run the script."""
    return calls.words(
        run_sync(yard.client, dead_rows.route_replay(yard.key_space.keys(0), changes))
    )


def test_replay__makes_a_dead_letter_due_again(any_server: Server) -> None:
    """A replayed route starts anew: due now, no attempts spent, in its next generation."""
    with graveyard(any_server) as yard:
        (member,) = yard.bury()
        dead_lettered = yard.route(member)
        assert replay(yard, change(yard, member)) == ["replayed"]
        route = yard.route(member)
        assert (route.status, route.generation, route.attempts) == (Status.PENDING, 2, 0)
        assert route.due_at_ms == route.at_ms >= dead_lettered.at_ms
        assert route.failure is None
        assert event_id(member, route.generation) == f"{member}#2"
        assert yard.dead() == {}
        assert yard.scheduled() == {member}
        assert yard.total("replayed") == 1
        yard.assert_conserved()


def test_replay__is_audited(server: Server) -> None:
    """The history keeps why it died, and says who sent it again."""
    with graveyard(server) as yard:
        (member,) = yard.bury()
        dead_lettered = yard.route(member)
        replay(yard, change(yard, member))
        *past, last = yard.route(member).history
        assert tuple(past) == dead_lettered.history
        assert past[-1].failure_class == "payload_encoding_failed"
        assert (last.event, last.worker) == ("replayed", ACTOR)


def test_replay__keeps_the_notification(server: Server) -> None:
    """A notification with a route on its way never expires."""
    with graveyard(server) as yard:
        (member,) = yard.bury()
        key, _ = yard.record(member)
        yard.client.pexpire(key, 60_000)
        replay(yard, change(yard, member))
        assert yard.client.pttl(key) == -1
        assert yard.client.hget(key, "open") == b"1"


def test_replay__wakes_one_worker(server: Server) -> None:
    """However many are replayed, one wake-up waits for the channel."""
    with graveyard(server) as yard:
        members = yard.bury(number=3)
        yard.client.delete(yard.key_space.keys(0).wake("push"))
        replay(yard, *(change(yard, member) for member in members))
        assert yard.client.llen(yard.key_space.keys(0).wake("push")) == 1


def test_replay__twice_moves_nothing_the_second_time(server: Server) -> None:
    """Whoever sends the same call again, after a lost reply say, changes nothing."""
    with graveyard(server) as yard:
        (member,) = yard.bury()
        again = change(yard, member)
        replay(yard, again)
        before = snapshot(yard.client)
        assert replay(yard, again) == ["gone"]
        assert snapshot(yard.client) == before


@pytest.mark.parametrize("case", REFUSALS)
def test_replay__refuses(case: str, any_server: Server) -> None:
    """Whatever is no dead letter as it was read stays as it is, byte for byte."""
    with graveyard(any_server) as yard:
        (member,) = yard.bury()
        asked = change(yard, member)
        word = REFUSALS[case](yard, member)
        before = snapshot(yard.client)
        assert replay(yard, asked) == [word]
        assert snapshot(yard.client) == before


def test_replay__of_a_vanished_notification_makes_none(server: Server) -> None:
    """What is gone cannot be sent again, and no half notification comes to be."""
    with graveyard(server) as yard:
        (member,) = yard.bury()
        asked = change(yard, member)
        yard.client.delete(yard.record(member)[0])
        before = snapshot(yard.client)
        assert replay(yard, asked) == ["changed"]
        assert snapshot(yard.client) == before


def test_replay__at_maxmemory_writes_nothing(server: Server) -> None:
    """Where there is no room, a dead letter stays dead."""
    with graveyard(server) as yard:
        (member,) = yard.bury()
        asked = change(yard, member)
        replay(yard)
        before = snapshot(yard.client)
        yard.client.config_set("maxmemory", 1)
        try:
            assert replay(yard, asked) == ["fault"]
        finally:
            yard.client.config_set("maxmemory", 0)
        assert snapshot(yard.client) == before


def test_replay__answers_each_item_in_order(server: Server) -> None:
    """One that cannot be moved holds up no other."""
    with graveyard(server) as yard:
        first, gone, last = yard.bury(number=3)
        asked = [change(yard, member) for member in (first, gone, last)]
        yard.client.zrem(yard.key_space.keys(0).dead("push"), gone)
        assert replay(yard, *asked) == ["replayed", "gone", "replayed"]
        assert yard.scheduled() == {first, last}
        assert yard.total("replayed") == 2
