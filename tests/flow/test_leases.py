"""One holder at a time: leases that lapse, that are taken over, released and fenced."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, Status
from tests.support.servers import Server
from tests.support.site import Site, member_of
from tests.support.wait import wait_until
from tests.support.worker import packed

Found = Callable[..., Site]


def test_lease__of_a_dead_worker_is_taken_over_when_it_lapses(
    any_server: Server, found: Found
) -> None:
    """What a worker held when it died is published by another one once the lease has lapsed."""
    site = found(any_server, worker__lease_ttl_ms=200, worker__poll_interval_ms=5000)
    site.notify("u1", "u2", "u3")
    lapses = site.now() + 200
    assert site.claim("push", 0)
    # The claims of this hand last 30 s; those of a worker as short as its setting says.
    for member in site.due():
        site.client.zadd(site.keys.schedule("push"), {member: lapses})
    station = site.station()
    assert station.step() == 0
    with station.running():
        wait_until(lambda: len(site.entries()) == 3, "they are published")
    entered = [int(entry["stream_id"].partition(b"-")[0]) for entry in site.entries()]
    assert all(0 <= at - lapses < 150 for at in entered)
    assert site.total("abandoned") == 3


def test_lease__that_another_worker_took_over_publishes_nothing(
    any_server: Server, found: Found
) -> None:
    """A worker that wakes after its lease was taken over changes nothing: a lost race, no error."""
    site = found(any_server, worker__lease_ttl_ms=100)
    site.notify("u1", "u2")
    other = site.station()

    def overslept(notification: Notification, _: Route) -> bytes:
        if not site.entries():
            wait_until(lambda: site.now() > max(site.due().values()), "the lease has lapsed")
            with_another_loop(lambda: other.step())
        return notification.packed

    assert site.station(overslept).step() == 0
    assert len(site.entries()) == 2
    assert site.totals() == {"accepted": 2, "abandoned": 2, "published": 2}


def test_lease__lapsed_but_not_taken_over_still_counts(any_server: Server, found: Found) -> None:
    """A worker that was slow publishes nevertheless if nobody else has taken its routes."""
    site = found(any_server, worker__lease_ttl_ms=100)
    site.notify("u1")

    def overslept(notification: Notification, _: Route) -> bytes:
        wait_until(lambda: site.now() > max(site.due().values()), "the lease has lapsed")
        return notification.packed

    assert site.station(overslept).step() == 1
    assert len(site.entries()) == 1


def test_lease__at_half_its_time_releases_what_is_not_encoded(
    any_server: Server, found: Found
) -> None:
    """A slow encoder's batch is settled in time as far as it came; the rest is due at once."""
    site = found(any_server, worker__lease_ttl_ms=400, worker__batch_size=100)
    site.notify(*(f"u{n:02}" for n in range(60)))

    def slow(notification: Notification, _: Route) -> bytes:
        time.sleep(0.02)
        return notification.packed

    station = site.station(slow)
    before = site.now()
    done = station.step()
    assert 5 <= done <= 12
    assert len(site.entries()) == done
    assert site.leases() == {}
    assert len(site.due()) == 60 - done
    assert max(site.due().values()) - before < 400


def test_slow_encoder__abandons_nothing(any_server: Server, found: Found) -> None:
    """A slot that waited for another one's encoding counts the wait: its leases do not lapse."""
    site = found(any_server, worker__lease_ttl_ms=400, worker__batch_size=10)
    site.notify(*(f"u{n:02}" for n in range(40)))

    def slow(notification: Notification, _: Route) -> bytes:
        time.sleep(0.06)
        return notification.packed

    first, second = site.station(slow), site.station(slow)
    with first.running(), second.running():
        wait_until(lambda: not site.due(), "all are settled", 20)
    assert site.totals() == {"accepted": 40, "published": 40}


def test_stop__settles_what_is_encoded_and_releases_the_rest(
    any_server: Server, found: Found
) -> None:
    """A worker told to stop in the middle of a batch leaves no lease and no suspicion behind."""
    site = found(any_server, worker__batch_size=10)
    site.notify(*(f"u{n}" for n in range(10)))
    station = site.station(lambda n, r: stop_at_third(n, r))
    seen: list[str] = []

    def stop_at_third(notification: Notification, _: Route) -> bytes:
        seen.append(notification.notification_id)
        if len(seen) == 3:
            station.stop()
        return notification.packed

    before = site.now()
    assert station.step() == 3
    assert (len(site.entries()), len(site.due()), site.leases()) == (3, 7, {})
    assert all(before <= due <= site.now() for due in site.due().values())
    assert site.station().step() == 7
    assert site.total("abandoned") == 0


def test_workers__share_the_work_without_conflicts(any_server: Server, found: Found) -> None:
    """Two workers take different routes: each sees the next ones, and no event is doubled."""
    site = found(any_server, worker__batch_size=20)
    for n in range(20):
        site.notify(*(f"u{n}-{k}" for k in range(50)))
    first, second = site.station(), site.station()
    with first.running(), second.running():
        wait_until(lambda: not site.due(), "all are published", 20)
    workers = {route.history[-1].worker for route in site.routes().values()}
    assert workers == {"host-2-0000", "host-2-0001"}
    assert site.totals() == {"accepted": 1000, "published": 1000}


def test_idle_workers__pass_a_wake_up_on(any_server: Server, found: Found) -> None:
    """One wake-up is enough: a worker whose claim came back full wakes the next one."""
    site = found(any_server, worker__batch_size=5, worker__poll_interval_ms=60_000)

    def slow(notification: Notification, _: Route) -> bytes:
        time.sleep(0.002)
        return notification.packed

    first, second = site.station(slow), site.station(slow)
    with first.running(), second.running():
        clients = site.client.info
        wait_until(lambda: clients("clients")["blocked_clients"] == 2, "both listen")
        site.notify(*(f"u{n:03}" for n in range(200)))
        wait_until(lambda: not site.due(), "all are published")
    workers = {route.history[-1].worker for route in site.routes().values()}
    assert workers == {"host-2-0000", "host-2-0001"}


def test_clock__set_back_frees_what_is_leased(any_server: Server, found: Found) -> None:
    """A lease that a clock step prolonged far beyond its time is made due by the janitor."""
    site = found(any_server)
    site.notify("u1", "u2")
    site.notify("later", due_at=site.now() + 60_000)
    assert site.claim("push", 0)
    hour = site.now() + 3_600_000
    leased = list(site.leases())
    site.client.zadd(site.keys.schedule("push"), dict.fromkeys(leased, hour))
    station = site.station()
    assert station.step() == 0
    assert station.tidy()
    assert all(site.due()[member] <= site.now() for member in leased)
    assert station.step() == 2
    assert site.statuses() == {"u1": "published", "u2": "published", "later": "pending"}


def test_clock__that_is_right_leaves_leases_alone(any_server: Server, found: Found) -> None:
    """The janitor frees nothing that is leased no longer than it should be."""
    site = found(any_server)
    site.notify("u1")
    assert site.claim("push", 0)
    due = site.due()
    assert site.station().tidy()
    assert site.due() == due


def test_janitor__is_one_at_a_time(any_server: Server, found: Found) -> None:
    """Only one worker tidies a shard; when it stops, another one may at once."""
    site = found(any_server)
    first, second = site.station(), site.station()
    assert first.tidy()
    assert first.tidy()
    assert not second.tidy()
    with first.running():
        wait_until(lambda: site.client.exists(site.keys.janitor), "it tidies")
    assert second.tidy()


def test_janitor__forgets_claims_of_old(any_server: Server, found: Found) -> None:
    """The claims of slots whose worker is long gone do not pile up; those of the living stay."""
    site = found(any_server)
    site.notify("u1")
    station = site.station()
    station.step()
    (living,) = site.client.hkeys(site.keys.claims)
    site.client.hset(site.keys.claims, "gone:0", f"{site.now() - 7_200_000} gone:0:1")
    station.tidy()
    assert site.client.hkeys(site.keys.claims) == [living]


def test_worker__tells_that_it_lives(any_server: Server, found: Found) -> None:
    """A working worker shows itself with its progress, and is forgotten soon after its end."""
    site = found(any_server)
    station = site.station(name="host-9-beef")
    station.step()
    station.step()
    key = site.keys.worker("host-9-beef")
    shown: Any = site.client.hgetall(key)
    assert set(shown) == {b"host", b"pid", b"version", b"started_ms", b"progress_ms"}
    assert 0 <= site.now() - int(shown[b"progress_ms"]) < 5000
    assert 0 < site.client.pttl(key) <= 30_000
    assert site.client.zrange(site.keys.workers, 0, -1) == [b"host-9-beef"]


def test_suspect__is_taken_alone(any_server: Server, found: Found) -> None:
    """A route abandoned twice is encoded with nothing else in flight, after its neighbours."""
    site = found(any_server, worker__batch_size=50)
    site.notify("suspect")
    for _ in range(2):
        assert site.claim("push", 0)
        lapse(site)
    site.notify(*(f"u{n}" for n in range(20)))
    batches: list[set[str]] = []

    def watch(notification: Notification, _: Route) -> bytes:
        ours = [member for member, lease in site.leases().items() if "host-2" in lease]
        batches.append({member.rpartition(":")[2] for member in ours})
        return notification.packed

    station = site.station(watch)
    assert station.step() == 21
    assert batches[:-1] == [{f"u{n}" for n in range(20)}] * 20
    assert batches[-1] == {"suspect"}
    assert site.total("abandoned") == 2


def test_suspect__is_buried_before_anything_of_it_is_decoded(
    any_server: Server, found: Found
) -> None:
    """A route that max_abandoned workers left behind is dead, with its class, and never encoded."""
    site = found(any_server, worker__max_abandoned=3)
    member = member_of(site.notify("poison"), "poison")
    for abandoned in range(3):
        assert site.route(member).status is Status.PENDING
        claimed = site.claim("push", 0) or site.claim_alone()
        assert claimed.members[0].abandoned == abandoned
        lapse(site)

    def never(_: Notification, __: Route) -> bytes:
        raise AssertionError("it was encoded")

    assert site.station(never).step() == 1
    route = site.route(member)
    assert (route.status, route.attempts) == (Status.DEAD_LETTER, 0)
    assert route.failure is not None
    assert route.failure.failure_class == "lease_abandoned"
    assert "3 times" in route.failure.message
    site.replay(member)
    assert site.station(packed).step() == 1


def lapse(site: Site) -> None:
    """Let all leases lapse, as time would."""
    leased = list(site.leases())
    site.client.zadd(site.keys.schedule("push"), dict.fromkeys(leased, site.now() - 1))


def with_another_loop(act: Callable[[], object]) -> None:
    """Run a station of another process while this one's loop stands still."""
    from threading import Thread

    thread = Thread(target=act)
    thread.start()
    thread.join()
