"""What stands in a schedule and cannot be used: set right when it is met, delaying nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from galaxy_notify.model.ids import id_for_key
from galaxy_notify.model.route import Status
from galaxy_notify.redis_client.faults import RedisFault
from tests.support.deployment import Deploy, DeploymentFixture, member_of
from tests.support.roads import Road, both_roads
from tests.support.servers import Server
from tests.support.telemetry import Lines
from tests.support.wait import wait_until

pytestmark = both_roads


def hand_made(deploy: Deploy, server: Server, **settings: object) -> DeploymentFixture:
    """Found a deployment that somebody will write to behind the package's back."""
    deployment = deploy(server, **settings)
    deployment.whole = False
    return deployment


def schedule(
    deployment: DeploymentFixture, members: list[str], at: int = 1, channel: str = "push"
) -> None:
    """Put members into a schedule by hand."""
    deployment.client.zadd(deployment.keys.schedule(channel), dict.fromkeys(members, at))


def _vanished(deployment: DeploymentFixture) -> dict[str, str]:
    """Members whose notification is gone."""
    members = [f"{id_for_key('gone', str(n))}/push:u{n}" for n in range(200)]
    schedule(deployment, members)
    return dict.fromkeys(members, "record_missing")


def _malformed(deployment: DeploymentFixture) -> dict[str, str]:
    """Members that nobody of ours could have written."""
    members = [f"no member {n}" for n in range(199)] + ["\x00/\x00:\xff"]
    schedule(deployment, members)
    return dict.fromkeys(members, "malformed")


def _wrong_type(deployment: DeploymentFixture) -> dict[str, str]:
    """Members whose notification is no hash."""
    members = []
    for n in range(200):
        made = id_for_key("string", str(n))
        deployment.client.set(deployment.keys.notification(made), "x")
        members.append(f"{made}/push:u{n}")
    schedule(deployment, members)
    return dict.fromkeys(members, "record_corrupt")


def _final(deployment: DeploymentFixture) -> dict[str, str]:
    """Members of routes that have ended long ago."""
    made = deployment.notify(*(f"f{n}" for n in range(200)))
    deployment.notifier.cancel(made)
    members = [member_of(made, f"f{n}") for n in range(200)]
    schedule(deployment, members)
    return dict.fromkeys(members, "final")


@pytest.mark.parametrize("unusable", [_vanished, _malformed, _wrong_type, _final])
def test_unusable_member__goes_to_the_orphans(
    any_server: Server, deploy: Deploy, unusable: Callable[[DeploymentFixture], dict[str, str]]
) -> None:
    """What no route stands behind leaves the schedule, with its reason, in one pass."""
    deployment = hand_made(deploy, any_server, worker__batch_size=250)
    expected = unusable(deployment)
    good = deployment.notify("good")
    assert deployment.worker_harness().step() == 201
    assert deployment.orphans() == expected
    assert deployment.total("orphaned") == 200
    assert deployment.event_ids() == [member_of(good, "good")]
    assert (deployment.due(), deployment.leases()) == ({}, {})


@pytest.mark.parametrize(
    ("field", "value", "failure"),
    [
        ("record", None, "record_missing"),
        ("record", b"1\xc1garbage", "record_corrupt"),
        ("record", b"", "record_corrupt"),
        ("record", b"1" + b"x" * 400_000, "payload_too_large"),
        ("push:u1", None, "record_missing"),
        ("push:u1", b"garbage", "record_corrupt"),
        ("push:u1", b"1p" + b"9" * 26 + b"\xc1", "record_corrupt"),
        ("push:u1", b"1" + b"x" * 70_000, "record_corrupt"),
    ],
)
def test_unusable_record__buries_its_route(
    any_server: Server,
    deploy: Deploy,
    road: Road,
    field: str,
    value: bytes | None,
    failure: str,
) -> None:
    """A route whose record or state cannot be read is dead with its class; its neighbours pass."""
    deployment = hand_made(deploy, any_server)
    member = member_of(deployment.notify("u1"), "u1")
    key, _ = deployment.record(member)
    if value is None:
        deployment.client.hdel(key, field)
    else:
        deployment.client.hset(key, field, value)
    good = deployment.notify("good")
    harness = deployment.worker_harness()
    harness.step()
    if road == "script":
        # It reads no other record after one that is far too large.
        harness.step()
    route = deployment.route(member)
    assert route.status is Status.DEAD_LETTER
    assert route.failure is not None
    assert route.failure.failure_class == failure
    assert set(deployment.dead()) == {member}
    assert deployment.event_ids() == [member_of(good, "good")]
    assert (deployment.due(), deployment.leases()) == ({}, {})


def test_misplaced_member__is_put_where_its_state_says(any_server: Server, deploy: Deploy) -> None:
    """A wrong score, a wrong channel, a dead letter in the schedule: each finds its place."""
    deployment = hand_made(deploy, any_server, worker__channels=["push", "email"])
    due = deployment.now() + 60_000
    early = member_of(deployment.notify("early", due_at=due), "early")
    (dead,) = deployment.bury()
    died = deployment.dead()[dead]
    deployment.client.zrem(deployment.keys.dead("push"), dead)
    other = member_of(deployment.notify("other", channels=["email"]), "other", "email")
    mail = deployment.client.zscore(deployment.keys.schedule("email"), other)
    deployment.client.zrem(deployment.keys.schedule("email"), other)
    schedule(deployment, [early, dead, other])
    good = deployment.notify("good")
    harness = deployment.worker_harness()
    harness.step()
    assert deployment.due() == {early: due}
    assert deployment.dead() == {dead: died}
    assert deployment.due("email") == {other: mail}
    assert deployment.event_ids() == [member_of(good, "good")]
    harness.step()
    assert set(deployment.event_ids()) == {other, member_of(good, "good")}
    deployment.whole = True


def test_thousand_unusable_members__delay_nobody(any_server: Server, deploy: Deploy) -> None:
    """A thousand members of every unusable kind in front of a good route are gone in a few passes.

    None of them is met twice, and each pass heals all that it meets.
    """
    deployment = hand_made(deploy, any_server, worker__batch_size=100)
    for unusable in (_vanished, _malformed, _wrong_type, _final):
        unusable(deployment)
    corrupt = [member_of(deployment.notify(f"c{n}"), f"c{n}") for n in range(100)]
    for member in corrupt:
        deployment.client.hset(deployment.record(member)[0], "record", "garbage")
    later = deployment.notify(*(f"l{n}" for n in range(100)), due_at=deployment.now() + 60_000)
    schedule(deployment, [*corrupt, *(member_of(later, f"l{n}") for n in range(100))])
    good = deployment.notify("good")
    harness = deployment.worker_harness()
    passes = 0
    while not deployment.entries():
        harness.step()
        passes += 1
        assert passes <= 11
    assert deployment.event_ids() == [member_of(good, "good")]
    assert set(deployment.dead()) == set(corrupt)
    assert set(deployment.due()) == {member_of(later, f"l{n}") for n in range(100)}
    assert deployment.total("orphaned") == 800
    assert deployment.leases() == {}


def test_newer_format__is_released_and_not_buried(
    any_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """What a later version wrote is left to it: due again in a minute, told, never changed."""
    deployment = hand_made(deploy, any_server)
    by_state, by_record = (member_of(deployment.notify(name), name) for name in ("u1", "u2"))
    key, route_id = deployment.record(by_state)
    state = b"3" + (deployment.state(by_state) or b"")[1:]
    deployment.client.hset(key, route_id, state)
    deployment.client.hset(deployment.record(by_record)[0], "record", b"2new")
    good = deployment.notify("good")
    before = deployment.now()
    deployment.worker_harness().step()
    assert deployment.state(by_state) == state
    assert deployment.route(by_record).status is Status.PENDING
    assert set(deployment.due()) == {by_state, by_record}
    assert all(due - before >= 60_000 for due in deployment.due().values())
    assert (deployment.dead(), deployment.leases()) == ({}, {})
    assert deployment.event_ids() == [member_of(good, "good")]
    told = [line["reason"] for line in lines() if line["event"] == "route released"]
    assert told == ["newer format"] * 2


def test_claim__of_large_records_keeps_to_its_budget(any_server: Server, deploy: Deploy) -> None:
    """A claim answers at most 4 MiB, but at least one member, and the rest comes with the next."""
    deployment = deploy(any_server, limits__max_payload_bytes=1_500_000)
    large = {"text": "x" * 1_400_000}
    for n in range(5):
        deployment.notify(f"u{n}", data=large)
    harness = deployment.worker_harness()
    assert harness.step() == 2
    assert harness.step() == 2
    assert harness.step() == 1
    assert len(deployment.entries()) == 5


def test_schedule__survives_odd_scores(any_server: Server, deploy: Deploy) -> None:
    """A score of minus infinity is due now, one of infinity never; neither stops the worker."""
    deployment = deploy(any_server)
    now = member_of(deployment.notify("now"), "now")
    never = member_of(deployment.notify("never", due_at=deployment.now() + 60_000), "never")
    deployment.client.zadd(deployment.keys.schedule("push"), {now: "-inf", never: "+inf"})
    harness = deployment.worker_harness()
    assert harness.step() == 1
    assert harness.step() == 0
    assert deployment.event_ids() == [now]
    deployment.client.zadd(deployment.keys.schedule("push"), {never: 1})
    harness.step()
    assert deployment.due()[never] == deployment.route(never).due_at_ms


def test_foreign_key__in_the_way_is_told_and_survived(any_server: Server, deploy: Deploy) -> None:
    """A schedule that somebody made a string does not end the worker: it waits and goes on."""
    deployment = deploy(any_server)
    deployment.client.set(deployment.keys.schedule("push"), "x")
    harness = deployment.worker_harness()
    with pytest.raises(RedisFault, match="WRONGTYPE"):
        harness.step()
    deployment.client.delete(deployment.keys.schedule("push"))
    made = deployment.notify("u1")
    harness.step()
    assert deployment.event_ids() == [member_of(made, "u1")]


def test_foreign_key__in_place_of_wake_ups_is_told_once(
    any_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """Without wake-ups the poll interval finds what is due; that is no outage, and no flood."""
    deployment = deploy(any_server, worker__poll_interval_ms=50)
    deployment.client.set(deployment.keys.wake("push"), "x")
    with deployment.worker_harness().running():
        deployment.notify("u1")
        wait_until(lambda: not deployment.due(), "it is published")
        deployment.notify("u2")
        wait_until(lambda: not deployment.due(), "so is the next")
    assert [line["event"] for line in lines()].count("wake-ups unavailable") == 1
    assert not [line for line in lines() if line["event"] == "redis unavailable"]
