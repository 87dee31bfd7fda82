"""settle publishes: the event and the state of its route come about together, or not at all."""

from __future__ import annotations

import pytest

from galaxy_notify.model.route import Status, body_of
from galaxy_notify.redis_state.settlement import EventKind, Publish, Settlement, read_settled
from tests.scripts.support.invariants import assert_consistent, assert_counted
from tests.scripts.support.outcomes import outcome, publishing
from tests.scripts.support.seeds import SEEDS
from tests.scripts.support.shard import KEEP, MINE, NOW, WORKER, Shard, new, split
from tests.scripts.support.snapshot import snapshot


def _leased(shard: Shard, *routes: str) -> list[str]:
    shard.claims += 1
    members = shard.accept(shard.claims, *routes)
    assert len(shard.claim().members) == len(members)
    return members


def test_publish__puts_the_event_into_the_stream(shard: Shard) -> None:
    """The event has its fields, none of them empty, and the route knows its stream id."""
    (member,) = _leased(shard)
    (answer,) = shard.settle(publishing(shard, member))
    ((stream_id, fields),) = shard.events()
    assert answer == ("published", stream_id)
    assert fields == {
        "user_id": b"u1",
        "event_type": b"game.ready",
        "event_id": member.encode(),
        "payload_bytes": b"payload",
        "request_id": b"r-1",
    }
    route = shard.route(member)
    assert (route.status, route.stream_id, route.at_ms) == (Status.PUBLISHED, stream_id, NOW)
    assert route.history[-1].worker == WORKER
    assert not shard.schedule()
    assert not shard.leases()
    assert shard.open(member) == 0
    assert 0 < shard.client.pttl(shard.hash_of(member)) <= KEEP
    assert shard.total("published") == 1
    assert_counted(shard)


@pytest.mark.parametrize("given", ["request_id", "trace_id", "traceparent"])
def test_publish__passes_on_what_traces_it(given: str, shard: Shard) -> None:
    """Each of the optional fields stands in the event exactly when it is given."""
    (member,) = _leased(shard)
    notification_id, route_id = split(member)
    optional = {
        name: "t" if name == given else "" for name in ("request_id", "trace_id", "traceparent")
    }
    body = body_of(shard.route(member).published(WORKER))
    kind = EventKind(KEEP, None, True, "t.u", event_id_suffix="", state_body=body, **optional)
    event = Publish(member.encode(), route_id, notification_id, NOW, b"p", kind)
    settlement = Settlement([event])
    assert shard.words(settlement) == ["published"]
    ((_, fields),) = shard.events()
    assert fields.keys() & optional.keys() == {given}


def test_publish__names_the_generation_of_a_replayed_route(shard: Shard) -> None:
    """The event of a replayed route has an id of its own."""
    member = SEEDS["replayed"](shard, 1)
    shard.claim()
    assert shard.words(publishing(shard, member)) == ["published"]
    assert shard.events()[0][1]["event_id"].decode() == f"{member}#2"
    assert_consistent(shard)


def test_publish__of_many_routes_closes_with_the_last(shard: Shard) -> None:
    """The notification is kept until its last route needs it no more."""
    members = _leased(shard, "push:u1", "push:u2", "push:u3")
    assert shard.words(publishing(shard, *members[:2])) == ["published"] * 2
    assert shard.open(members[0]) == 1
    assert shard.client.pttl(shard.hash_of(members[0])) == -1
    assert shard.words(publishing(shard, members[2])) == ["published"]
    assert shard.client.pttl(shard.hash_of(members[0])) > 0
    assert [fields["user_id"] for _, fields in shard.events()] == [b"u1", b"u2", b"u3"]


def test_publish__moves_opaque_bytes(shard: Shard) -> None:
    """Payloads and states go through unchanged, whatever bytes they are."""
    (member,) = _leased(shard)
    notification_id, route_id = split(member)
    payload = bytes(range(256)) * 20
    body = body_of(shard.route(member).published(WORKER))
    kind = EventKind(KEEP, None, True, "t", "", "", "", "", body)
    event = Publish(member.encode(), route_id, notification_id, NOW, payload, kind)
    shard.settle(Settlement([event]))
    assert shard.events()[0][1]["payload_bytes"] == payload


def test_settle__takes_256_routes(shard: Shard) -> None:
    """The largest batch is one call, in groups or one by one."""
    shard.answers(new(1, [f"push:user-{n:03d}" for n in range(128)]))
    shard.answers(*(new(n) for n in range(2, 130)))
    members = [m.member.decode() for m in shard.claim().members]
    assert shard.words(publishing(shard, *members)) == ["published"] * 256
    assert shard.schedule() == {}
    assert_counted(shard)


@pytest.mark.parametrize(("early", "word"), [(1, "published"), (0, "expired"), (-1, "expired")])
def test_publish__past_its_expiry_leaves_the_lease(early: int, word: str, shard: Shard) -> None:
    """An event is never published late; its holder ends the route with a second call."""
    (member,) = _leased(shard)
    before = snapshot(shard)
    assert shard.words(publishing(shard, member, expires=NOW + early)) == [word]
    if word == "expired":
        assert snapshot(shard) == before
        assert shard.words(outcome(shard, "expire", member)) == ["expired"]
        assert shard.events() == []
    assert_counted(shard)


def test_settle__of_a_whole_claim_needs_all_of_its_members(shard: Shard) -> None:
    """Where one has left the lease meanwhile, each is looked at: what was cancelled stays so."""
    members = _leased(shard, "push:u1", "push:u2", "push:u3")
    settlement = publishing(shard, *members)
    assert shard.cancel(members[1]) == ["known", "cancelled"]
    call = settlement.call(shard.keys, "push", MINE, claimed=3)
    answers = read_settled(shard.run(call)).answers
    assert [answer.word for answer in answers] == ["published", "stale", "published"]
    assert_counted(shard)


def test_settle__of_a_whole_claim_twice_is_stale(shard: Shard) -> None:
    """The same call sent again finds no lease."""
    members = _leased(shard, "push:u1", "push:u2", "push:u3")
    call = publishing(shard, *members).call(shard.keys, "push", MINE, claimed=3)
    words = [[a.word for a in read_settled(shard.run(call)).answers] for _ in range(2)]
    assert words == [["published"] * 3, ["stale"] * 3]
    assert len(shard.events()) == 3
    assert not shard.client.exists(shard.keys.schedule("push"), shard.keys.leases("push"))


def test_settle__of_a_part_of_a_claim_is_none_of_the_whole(shard: Shard) -> None:
    """As many as are left says nothing about which, so fewer than were claimed are compared."""
    members = _leased(shard, "push:u1", "push:u2")
    assert shard.cancel(members[0]) == ["known", "cancelled"]
    call = publishing(shard, members[0]).call(shard.keys, "push", MINE, claimed=2)
    assert read_settled(shard.run(call)).answers[0].word == "stale"
    assert shard.events() == []
