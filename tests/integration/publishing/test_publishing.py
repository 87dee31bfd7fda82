"""From accept to the gateway stream, when nothing goes wrong."""

from __future__ import annotations

import json

import msgpack
import pytest

from galaxy_notify.model.route import Status
from galaxy_notify.operations.pausing import pause, resume
from tests.support.deployment import Deploy, DeploymentFixture, member_of
from tests.support.roads import both_roads
from tests.support.servers import Server
from tests.support.wait import wait_until

pytestmark = both_roads


def test_route__is_published_with_the_contract_fields(any_server: Server, deploy: Deploy) -> None:
    """An event carries who, what and which, every id that was given, and the packed payload."""
    deployment = deploy(any_server)
    ids = {
        "request_id": "req-1",
        "trace_id": "trace-1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    before = deployment.now()
    made = deployment.notify(
        "u1", severity="warning", title="T", body="B", data={"turn": 12}, **ids
    )
    assert deployment.worker_harness().step() == 1
    (entry,) = deployment.entries()
    payload = msgpack.unpackb(entry.pop("payload_bytes"))
    stream_id = entry.pop("stream_id").decode()
    assert entry == {
        "user_id": b"u1",
        "event_type": b"game.ready",
        "event_id": f"{made}/push:u1".encode(),
        **{name: value.encode() for name, value in ids.items()},
    }
    assert before <= payload.pop("created_at_ms") <= deployment.now()
    assert payload == {
        "notification_id": made,
        "type": "game.ready",
        "producer": "lobby",
        "severity": "warning",
        "title": "T",
        "body": "B",
        "data": {"turn": 12},
    }
    route = deployment.route(member_of(made, "u1"))
    assert (route.status, route.stream_id, route.attempts) == (Status.PUBLISHED, stream_id, 0)
    assert (deployment.due(), deployment.leases(), deployment.total("published")) == ({}, {}, 1)


def test_route__leaves_out_what_was_not_given(any_server: Server, deploy: Deploy) -> None:
    """Ids and content that the intent left empty are absent from the event."""
    deployment = deploy(any_server)
    deployment.notify("u1")
    deployment.worker_harness().step()
    (entry,) = deployment.entries()
    assert set(entry) == {"stream_id", "user_id", "event_type", "event_id", "payload_bytes"}
    assert set(msgpack.unpackb(entry["payload_bytes"])) == {
        "notification_id", "type", "producer", "severity", "created_at_ms",
    }  # fmt: skip


@pytest.mark.parametrize("encoder", ["json", "tests.support.encoders:upper"])
def test_encoder__decides_the_payload(any_server: Server, deploy: Deploy, encoder: str) -> None:
    """The setting chooses JSON or the deployment's own function; its bytes are published as is."""
    deployment = deploy(any_server, gateway__encoder=encoder)
    made = deployment.notify("u1", title="é")
    deployment.worker_harness().step()
    (entry,) = deployment.entries()
    if encoder == "json":
        payload = json.loads(entry["payload_bytes"])
        assert (payload["notification_id"], payload["title"]) == (made, "é")
    else:
        assert entry["payload_bytes"] == b"U1"


def test_route__is_never_early(any_server: Server, deploy: Deploy) -> None:
    """An event enters the stream at its due time by the server's clock, or after it."""
    # So long that nothing but the due times makes the worker look in time.
    deployment = deploy(any_server, worker__poll_interval_ms=3_600_000)
    dues = [deployment.now() + delay for delay in (150, 260, 261, 400)]
    for due in dues:
        deployment.notify(f"u{due}", due_at=due)
    with deployment.worker_harness().running():
        wait_until(lambda: len(deployment.entries()) == len(dues), "all are published")
    entered = [int(entry["stream_id"].partition(b"-")[0]) for entry in deployment.entries()]
    assert all(at >= due for at, due in zip(entered, dues, strict=True)), (entered, dues)


def test_route__wakes_an_idle_worker(any_server: Server, deploy: Deploy) -> None:
    """A route due now is published long before the poll interval ends."""
    # So long that nothing but the wake-up makes the worker look in time.
    deployment = deploy(any_server, worker__poll_interval_ms=3_600_000)
    with deployment.worker_harness().running():
        for number in range(5):
            wait_until(lambda: _is_blocked(deployment), "the worker listens")
            deployment.notify(f"u{number}")
            wait_until(lambda: not deployment.due(), "it is published")
    assert len(deployment.entries()) == 5


def test_route__due_sooner_than_the_head_wakes_the_worker(
    any_server: Server, deploy: Deploy
) -> None:
    """A worker that rests until a later route is told of one due before it."""
    # So late and so long that nothing but the wake-up makes the worker look in time.
    deployment = deploy(any_server, worker__poll_interval_ms=3_600_000)
    deployment.notify("later", due_at=deployment.now() + 3_600_000)
    with deployment.worker_harness().running():
        wait_until(lambda: _is_blocked(deployment), "the worker listens")
        due = deployment.now() + 200
        deployment.notify("sooner", due_at=due)
        wait_until(deployment.entries, "it is published")
    (entry,) = deployment.entries()
    assert entry["user_id"] == b"sooner"
    assert int(entry["stream_id"].partition(b"-")[0]) >= due


def test_worker__polls_for_what_nobody_announced(any_server: Server, deploy: Deploy) -> None:
    """A route whose wake-up was lost is published all the same: nothing but the poll finds it."""
    deployment = deploy(any_server, worker__poll_interval_ms=300)
    member = member_of(deployment.notify("u1"), "u1")
    assert deployment.claim("push", 0)
    with deployment.worker_harness().running():
        wait_until(lambda: _is_blocked(deployment), "the worker listens")
        # Due again without a wake-up, as when the worker that held it has died.
        deployment.client.zadd(deployment.keys.schedule("push"), {member: deployment.now()})
        wait_until(deployment.entries, "it is published")


def test_channels__are_visited_in_turn(any_server: Server, deploy: Deploy) -> None:
    """A channel with a long queue does not keep another one waiting: one batch each."""
    deployment = deploy(any_server, worker__channels=["push", "email"], worker__batch_size=5)
    deployment.notify(*(f"p{n:02}" for n in range(20)))
    deployment.notify("e1", channels=["email"])
    harness = deployment.worker_harness()
    harness.step()
    harness.step()
    users = [entry["user_id"] for entry in deployment.entries()]
    assert len(users) == 6
    assert b"e1" in users
    harness.step()
    harness.step()
    assert len(deployment.entries()) == 16


def test_channel__paused_rests_until_resumed(any_server: Server, deploy: Deploy) -> None:
    """A paused channel keeps accepting and publishes nothing; a resumed one goes on at once."""
    deployment = deploy(
        any_server, worker__channels=["push", "email"], worker__poll_interval_ms=200
    )
    assert pause(deployment.connected, "push")
    with deployment.worker_harness().running():
        deployment.notify("p1")
        deployment.notify("e1", channels=["email"])
        wait_until(deployment.entries, "the other channel goes on")
        assert [entry["user_id"] for entry in deployment.entries()] == [b"e1"]
        assert deployment.statuses()["p1"] == "pending"
        assert resume(deployment.connected, "push")
        wait_until(lambda: len(deployment.entries()) == 2, "the resumed channel goes on")


def test_shards__share_the_notifications(any_server: Server, deploy: Deploy) -> None:
    """Each notification lives wholly in the shard of its id, and every shard is served."""
    deployment = deploy(any_server, worker__shards=4, worker__poll_interval_ms=200)
    made = [deployment.notify("u1", "u2") for _ in range(40)]
    with deployment.worker_harness().running():
        wait_until(lambda: len(deployment.entries()) == 80, "all are published")
    for keys in deployment.key_space.all_keys:
        here = {one for one in made if deployment.key_space.keys_for(one).shard == keys.shard}
        assert here
        assert deployment.client.xlen(keys.stream) == 2 * len(here)


def test_replayed_route__is_told_apart_by_its_generation(
    any_server: Server, deploy: Deploy
) -> None:
    """The event of a replayed route ends in its generation, so that gateways take it as new."""
    deployment = deploy(any_server)
    (member,) = deployment.bury()
    deployment.replay(member)
    assert deployment.worker_harness().step() == 1
    assert deployment.event_ids() == [f"{member}#2"]


def test_stream__may_have_a_name_of_its_own(any_server: Server, deploy: Deploy) -> None:
    """With one shard the gateway stream may be any key."""
    deployment = deploy(any_server, gateway__stream="client:events")
    deployment.notify("u1")
    deployment.worker_harness().step()
    assert deployment.client.xlen("client:events") == 1


def _is_blocked(deployment: DeploymentFixture) -> bool:
    return bool(deployment.client.info("clients")["blocked_clients"])
