"""What stands in a schedule and cannot be used: set right when it is met, delaying nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from galaxy_notify.model.ids import id_for_key
from galaxy_notify.model.route import Status
from galaxy_notify.redis_client.faults import RedisFault
from tests.support.servers import Server
from tests.support.site import Site, member_of
from tests.support.telemetry import Lines
from tests.support.wait import wait_until

Found = Callable[..., Site]


def hand_made(found: Found, server: Server, **settings: object) -> Site:
    """Found a deployment that somebody will write to behind the package's back."""
    site = found(server, **settings)
    site.whole = False
    return site


def schedule(site: Site, members: list[str], at: int = 1, channel: str = "push") -> None:
    """Put members into a schedule by hand."""
    site.client.zadd(site.keys.schedule(channel), dict.fromkeys(members, at))


def _vanished(site: Site) -> dict[str, str]:
    """Members whose notification is gone."""
    members = [f"{id_for_key('gone', str(n))}/push:u{n}" for n in range(200)]
    schedule(site, members)
    return dict.fromkeys(members, "record_missing")


def _malformed(site: Site) -> dict[str, str]:
    """Members that nobody of ours could have written."""
    members = [f"no member {n}" for n in range(199)] + ["\x00/\x00:\xff"]
    schedule(site, members)
    return dict.fromkeys(members, "malformed")


def _wrong_type(site: Site) -> dict[str, str]:
    """Members whose notification is no hash."""
    members = []
    for n in range(200):
        made = id_for_key("string", str(n))
        site.client.set(site.keys.notification(made), "x")
        members.append(f"{made}/push:u{n}")
    schedule(site, members)
    return dict.fromkeys(members, "record_corrupt")


def _final(site: Site) -> dict[str, str]:
    """Members of routes that have ended long ago."""
    made = site.notify(*(f"f{n}" for n in range(200)))
    site.notifier.cancel(made)
    members = [member_of(made, f"f{n}") for n in range(200)]
    schedule(site, members)
    return dict.fromkeys(members, "final")


@pytest.mark.parametrize("unusable", [_vanished, _malformed, _wrong_type, _final])
def test_unusable_member__goes_to_the_orphans(
    any_server: Server, found: Found, unusable: Callable[[Site], dict[str, str]]
) -> None:
    """What no route stands behind leaves the schedule, with its reason, in one pass."""
    site = hand_made(found, any_server, worker__batch_size=250)
    expected = unusable(site)
    good = site.notify("good")
    assert site.station().step() == 201
    assert site.orphans() == expected
    assert site.total("orphaned") == 200
    assert site.event_ids() == [member_of(good, "good")]
    assert (site.due(), site.leases()) == ({}, {})


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
    any_server: Server, found: Found, field: str, value: bytes | None, failure: str
) -> None:
    """A route whose record or state cannot be read is dead with its class; its neighbours pass."""
    site = hand_made(found, any_server)
    member = member_of(site.notify("u1"), "u1")
    key, _ = site.record(member)
    if value is None:
        site.client.hdel(key, field)
    else:
        site.client.hset(key, field, value)
    good = site.notify("good")
    site.station().step()
    route = site.route(member)
    assert route.status is Status.DEAD_LETTER
    assert route.failure is not None
    assert route.failure.failure_class == failure
    assert set(site.dead()) == {member}
    assert site.event_ids() == [member_of(good, "good")]
    assert (site.due(), site.leases()) == ({}, {})


def test_misplaced_member__is_put_where_its_state_says(any_server: Server, found: Found) -> None:
    """A wrong score, a wrong channel, a dead letter in the schedule: each finds its place."""
    site = hand_made(found, any_server, worker__channels=["push", "email"])
    due = site.now() + 60_000
    early = member_of(site.notify("early", due_at=due), "early")
    (dead,) = site.bury()
    died = site.dead()[dead]
    site.client.zrem(site.keys.dead("push"), dead)
    other = member_of(site.notify("other", channels=["email"]), "other", "email")
    mail = site.client.zscore(site.keys.schedule("email"), other)
    site.client.zrem(site.keys.schedule("email"), other)
    schedule(site, [early, dead, other])
    good = site.notify("good")
    station = site.station()
    station.step()
    assert site.due() == {early: due}
    assert site.dead() == {dead: died}
    assert site.due("email") == {other: mail}
    assert site.event_ids() == [member_of(good, "good")]
    station.step()
    assert set(site.event_ids()) == {other, member_of(good, "good")}
    site.whole = True


def test_thousand_unusable_members__delay_nobody(any_server: Server, found: Found) -> None:
    """A thousand members of every unusable kind in front of a good route are gone in a few passes.

    None of them is met twice, and each pass heals all that it meets.
    """
    site = hand_made(found, any_server, worker__batch_size=100)
    for unusable in (_vanished, _malformed, _wrong_type, _final):
        unusable(site)
    corrupt = [member_of(site.notify(f"c{n}"), f"c{n}") for n in range(100)]
    for member in corrupt:
        site.client.hset(site.record(member)[0], "record", "garbage")
    later = site.notify(*(f"l{n}" for n in range(100)), due_at=site.now() + 60_000)
    schedule(site, [*corrupt, *(member_of(later, f"l{n}") for n in range(100))])
    good = site.notify("good")
    station = site.station()
    passes = 0
    while not site.entries():
        station.step()
        passes += 1
        assert passes <= 11
    assert site.event_ids() == [member_of(good, "good")]
    assert set(site.dead()) == set(corrupt)
    assert set(site.due()) == {member_of(later, f"l{n}") for n in range(100)}
    assert site.total("orphaned") == 800
    assert site.leases() == {}


def test_newer_format__is_released_and_not_buried(
    any_server: Server, found: Found, lines: Lines
) -> None:
    """What a later version wrote is left to it: due again in a minute, told, never changed."""
    site = hand_made(found, any_server)
    by_state, by_record = (member_of(site.notify(name), name) for name in ("u1", "u2"))
    key, route_id = site.record(by_state)
    state = b"2" + (site.state(by_state) or b"")[1:]
    site.client.hset(key, route_id, state)
    site.client.hset(site.record(by_record)[0], "record", b"2new")
    good = site.notify("good")
    before = site.now()
    site.station().step()
    assert site.state(by_state) == state
    assert site.route(by_record).status is Status.PENDING
    assert set(site.due()) == {by_state, by_record}
    assert all(due - before >= 60_000 for due in site.due().values())
    assert (site.dead(), site.leases()) == ({}, {})
    assert site.event_ids() == [member_of(good, "good")]
    told = [line["reason"] for line in lines() if line["event"] == "route released"]
    assert told == ["newer format"] * 2


def test_claim__of_large_records_keeps_to_its_budget(any_server: Server, found: Found) -> None:
    """A claim answers at most 4 MiB, but at least one member, and the rest comes with the next."""
    site = found(any_server, limits__max_payload_bytes=1_500_000)
    large = {"text": "x" * 1_400_000}
    for n in range(5):
        site.notify(f"u{n}", data=large)
    station = site.station()
    assert station.step() == 2
    assert station.step() == 2
    assert station.step() == 1
    assert len(site.entries()) == 5


def test_schedule__survives_odd_scores(any_server: Server, found: Found) -> None:
    """A score of minus infinity is due now, one of infinity never; neither stops the worker."""
    site = found(any_server)
    now = member_of(site.notify("now"), "now")
    never = member_of(site.notify("never", due_at=site.now() + 60_000), "never")
    site.client.zadd(site.keys.schedule("push"), {now: "-inf", never: "+inf"})
    station = site.station()
    assert station.step() == 1
    assert station.step() == 0
    assert site.event_ids() == [now]
    site.client.zadd(site.keys.schedule("push"), {never: 1})
    station.step()
    assert site.due()[never] == site.route(never).due_at_ms


def test_foreign_key__in_the_way_is_told_and_survived(any_server: Server, found: Found) -> None:
    """A schedule that somebody made a string does not end the worker: it waits and goes on."""
    site = found(any_server)
    site.client.set(site.keys.schedule("push"), "x")
    station = site.station()
    with pytest.raises(RedisFault, match="WRONGTYPE"):
        station.step()
    site.client.delete(site.keys.schedule("push"))
    made = site.notify("u1")
    station.step()
    assert site.event_ids() == [member_of(made, "u1")]


def test_foreign_key__in_place_of_wake_ups_is_told_once(
    any_server: Server, found: Found, lines: Lines
) -> None:
    """Without wake-ups the poll interval finds what is due; that is no outage, and no flood."""
    site = found(any_server, worker__poll_interval_ms=50)
    site.client.set(site.keys.wake("push"), "x")
    with site.station().running():
        site.notify("u1")
        wait_until(lambda: not site.due(), "it is published")
        site.notify("u2")
        wait_until(lambda: not site.due(), "so is the next")
    assert [line["event"] for line in lines()].count("wake-ups not heard") == 1
    assert not [line for line in lines() if line["event"] == "redis unavailable"]
