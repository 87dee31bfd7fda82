"""From accept to the gateway stream, when nothing goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgpack
import pytest

from galaxy_notify.model.route import Status
from galaxy_notify.operations.pausing import pause, resume
from tests.support.servers import Server
from tests.support.site import Site, member_of
from tests.support.wait import wait_until

Found = Callable[..., Site]


def test_route__is_published_with_the_contract_fields(any_server: Server, found: Found) -> None:
    """An event carries who, what and which, every id that was given, and the packed payload."""
    site = found(any_server)
    ids = {
        "request_id": "req-1",
        "trace_id": "trace-1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    before = site.now()
    made = site.notify("u1", severity="warning", title="T", body="B", data={"turn": 12}, **ids)
    assert site.station().step() == 1
    (entry,) = site.entries()
    payload = msgpack.unpackb(entry.pop("payload_bytes"))
    stream_id = entry.pop("stream_id").decode()
    assert entry == {
        "user_id": b"u1",
        "event_type": b"game.ready",
        "event_id": f"{made}/push:u1".encode(),
        **{name: value.encode() for name, value in ids.items()},
    }
    assert before <= payload.pop("created_at_ms") <= site.now()
    assert payload == {
        "notification_id": made,
        "type": "game.ready",
        "producer": "lobby",
        "severity": "warning",
        "title": "T",
        "body": "B",
        "data": {"turn": 12},
    }
    route = site.route(member_of(made, "u1"))
    assert (route.status, route.stream_id, route.attempts) == (Status.PUBLISHED, stream_id, 0)
    assert (site.due(), site.leases(), site.total("published")) == ({}, {}, 1)


def test_route__leaves_out_what_was_not_given(any_server: Server, found: Found) -> None:
    """Ids and content that the intent left empty are absent from the event."""
    site = found(any_server)
    site.notify("u1")
    site.station().step()
    (entry,) = site.entries()
    assert set(entry) == {"stream_id", "user_id", "event_type", "event_id", "payload_bytes"}
    assert set(msgpack.unpackb(entry["payload_bytes"])) == {
        "notification_id", "type", "producer", "severity", "created_at_ms",
    }  # fmt: skip


@pytest.mark.parametrize("encoder", ["json", "tests.support.encoders:upper"])
def test_encoder__decides_the_payload(any_server: Server, found: Found, encoder: str) -> None:
    """The setting chooses JSON or the deployment's own function; its bytes are published as is."""
    site = found(any_server, gateway__encoder=encoder)
    made = site.notify("u1", title="é")
    site.station().step()
    (entry,) = site.entries()
    if encoder == "json":
        payload = json.loads(entry["payload_bytes"])
        assert (payload["notification_id"], payload["title"]) == (made, "é")
    else:
        assert entry["payload_bytes"] == b"U1"


def test_route__is_never_early(any_server: Server, found: Found) -> None:
    """An event enters the stream at its due time by the server's clock, or after it."""
    # So long that nothing but the due times makes the worker look in time.
    site = found(any_server, worker__poll_interval_ms=3_600_000)
    dues = [site.now() + delay for delay in (150, 260, 261, 400)]
    for due in dues:
        site.notify(f"u{due}", due_at=due)
    with site.station().running():
        wait_until(lambda: len(site.entries()) == len(dues), "all are published")
    entered = [int(entry["stream_id"].partition(b"-")[0]) for entry in site.entries()]
    assert all(at >= due for at, due in zip(entered, dues, strict=True)), (entered, dues)


def test_route__wakes_an_idle_worker(any_server: Server, found: Found) -> None:
    """A route due now is published long before the poll interval ends."""
    # So long that nothing but the wake-up makes the worker look in time.
    site = found(any_server, worker__poll_interval_ms=3_600_000)
    with site.station().running():
        for number in range(5):
            wait_until(lambda: _is_blocked(site), "the worker listens")
            site.notify(f"u{number}")
            wait_until(lambda: not site.due(), "it is published")
    assert len(site.entries()) == 5


def test_route__due_sooner_than_the_head_wakes_the_worker(any_server: Server, found: Found) -> None:
    """A worker that rests until a later route is told of one due before it."""
    # So late and so long that nothing but the wake-up makes the worker look in time.
    site = found(any_server, worker__poll_interval_ms=3_600_000)
    site.notify("later", due_at=site.now() + 3_600_000)
    with site.station().running():
        wait_until(lambda: _is_blocked(site), "the worker listens")
        due = site.now() + 200
        site.notify("sooner", due_at=due)
        wait_until(site.entries, "it is published")
    (entry,) = site.entries()
    assert entry["user_id"] == b"sooner"
    assert int(entry["stream_id"].partition(b"-")[0]) >= due


def test_worker__polls_for_what_nobody_announced(any_server: Server, found: Found) -> None:
    """A route whose wake-up was lost is published all the same: nothing but the poll finds it."""
    site = found(any_server, worker__poll_interval_ms=300)
    member = member_of(site.notify("u1"), "u1")
    assert site.claim("push", 0)
    with site.station().running():
        wait_until(lambda: _is_blocked(site), "the worker listens")
        # Due again without a wake-up, as when the worker that held it has died.
        site.client.zadd(site.keys.schedule("push"), {member: site.now()})
        wait_until(site.entries, "it is published")


def test_channels__are_visited_in_turn(any_server: Server, found: Found) -> None:
    """A channel with a long queue does not keep another one waiting: one batch each."""
    site = found(any_server, worker__channels=["push", "email"], worker__batch_size=5)
    site.notify(*(f"p{n:02}" for n in range(20)))
    site.notify("e1", channels=["email"])
    station = site.station()
    station.step()
    station.step()
    users = [entry["user_id"] for entry in site.entries()]
    assert len(users) == 6
    assert b"e1" in users
    station.step()
    station.step()
    assert len(site.entries()) == 16


def test_channel__paused_rests_until_resumed(any_server: Server, found: Found) -> None:
    """A paused channel keeps accepting and publishes nothing; a resumed one goes on at once."""
    site = found(any_server, worker__channels=["push", "email"], worker__poll_interval_ms=200)
    assert pause(site.deployment, "push")
    with site.station().running():
        site.notify("p1")
        site.notify("e1", channels=["email"])
        wait_until(site.entries, "the other channel goes on")
        assert [entry["user_id"] for entry in site.entries()] == [b"e1"]
        assert site.statuses()["p1"] == "pending"
        assert resume(site.deployment, "push")
        wait_until(lambda: len(site.entries()) == 2, "the resumed channel goes on")


def test_shards__share_the_notifications(any_server: Server, found: Found) -> None:
    """Each notification lives wholly in the shard of its id, and every shard is served."""
    site = found(any_server, worker__shards=4, worker__poll_interval_ms=200)
    made = [site.notify("u1", "u2") for _ in range(40)]
    with site.station().running():
        wait_until(lambda: len(site.entries()) == 80, "all are published")
    for keys in site.key_space.all_keys:
        here = {one for one in made if site.key_space.keys_for(one).shard == keys.shard}
        assert here
        assert site.client.xlen(keys.stream) == 2 * len(here)


def test_replayed_route__is_told_apart_by_its_generation(any_server: Server, found: Found) -> None:
    """The event of a replayed route ends in its generation, so that gateways take it as new."""
    site = found(any_server)
    (member,) = site.bury()
    site.replay(member)
    assert site.station().step() == 1
    assert site.event_ids() == [f"{member}#2"]


def test_stream__may_have_a_name_of_its_own(any_server: Server, found: Found) -> None:
    """With one shard the gateway stream may be any key."""
    site = found(any_server, gateway__stream="client:events")
    site.notify("u1")
    site.station().step()
    assert site.client.xlen("client:events") == 1


def _is_blocked(site: Site) -> bool:
    return bool(site.client.info("clients")["blocked_clients"])
