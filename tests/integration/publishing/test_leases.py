"""One holder at a time: leases that lapse, that are taken over, released and fenced."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from galaxy_notify.errors import TransientEncodingError
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, Status
from tests.support.deployment import Deploy
from tests.support.roads import both_roads
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until


@both_roads
def test_lease__of_a_dead_worker_is_taken_over_when_it_lapses(
    any_server: Server, deploy: Deploy
) -> None:
    """What a worker held when it died is published by another one once the lease has lapsed."""
    # So long that nothing but the lapse makes the worker look in time.
    deployment = deploy(any_server, worker__poll_interval_ms=3_600_000)
    deployment.notify("u1", "u2", "u3")
    lapses = deployment.now() + 200
    assert deployment.claim("push", 0)
    deployment.move_leases(lapses)
    with deployment.worker_harness().running():
        wait_until(lambda: len(deployment.entries()) == 3, "they are published")
    entered = [int(entry["stream_id"].partition(b"-")[0]) for entry in deployment.entries()]
    assert all(at >= lapses for at in entered)
    assert deployment.total("abandoned") == 3


def test_lease__that_another_worker_took_over_publishes_nothing(
    any_server: Server, deploy: Deploy
) -> None:
    """A worker that wakes after its lease was taken over changes nothing: a lost race, no error."""
    deployment = deploy(any_server)
    deployment.notify("u1", "u2")
    other = deployment.worker_harness()

    def overslept(notification: Notification, _: Route) -> bytes:
        if not deployment.entries():
            wait_until(
                lambda: deployment.now() > max(deployment.due().values()), "the lease has lapsed"
            )
            with_another_loop(lambda: other.step())
        return notification.packed

    # Only the one that oversleeps has a short lease; half of it is time enough for its claim.
    assert deployment.worker_harness(overslept, worker__lease_ttl_ms=1000).step() == 0
    assert len(deployment.entries()) == 2
    assert deployment.totals() == {"accepted": 2, "abandoned": 2, "published": 2}


@pytest.mark.parametrize("fate", ["publish", "retry", "bury", "stop"])
def test_lease__that_another_worker_holds_is_left_alone(
    any_server: Server, deploy: Deploy, fate: str
) -> None:
    """Whatever a worker decided about routes that are another one's by now, it changes nothing."""
    deployment = deploy(any_server, worker__lease_ttl_ms=1000)
    deployment.notify("u1", "u2")
    theirs: dict[str, str] = {}

    def overslept(notification: Notification, _: Route) -> bytes:
        if not theirs:
            wait_until(
                lambda: deployment.now() > max(deployment.due().values()), "the lease has lapsed"
            )
            assert deployment.claim("push", 0)
            theirs.update(deployment.leases())
        if fate == "stop":
            harness.stop()
        if fate == "retry":
            raise TransientEncodingError
        return notification.packed if fate != "bury" else b"x" * 300_000

    harness = deployment.worker_harness(overslept)
    due = deployment.due()
    assert harness.step() == 0
    assert deployment.leases() == theirs
    assert all(deployment.due()[member] > due[member] + 20_000 for member in due)
    assert (deployment.entries(), deployment.dead()) == ([], {})
    assert {(r.status, r.attempts) for r in deployment.routes().values()} == {(Status.PENDING, 0)}


def test_lease__lapsed_but_not_taken_over_still_counts(any_server: Server, deploy: Deploy) -> None:
    """A worker that was slow publishes nevertheless if nobody else has taken its routes."""
    deployment = deploy(any_server, worker__lease_ttl_ms=100)
    deployment.notify("u1")

    def overslept(notification: Notification, _: Route) -> bytes:
        wait_until(
            lambda: deployment.now() > max(deployment.due().values()), "the lease has lapsed"
        )
        return notification.packed

    assert deployment.worker_harness(overslept).step() == 1
    assert len(deployment.entries()) == 1


def test_lease__at_half_its_time_releases_what_is_not_encoded(
    any_server: Server, deploy: Deploy
) -> None:
    """A slow encoder's batch is settled in time as far as it came; the rest is due at once."""
    deployment = deploy(any_server, worker__lease_ttl_ms=400, worker__batch_size=100)
    deployment.notify(*(f"u{n:02}" for n in range(60)))

    def slow(notification: Notification, _: Route) -> bytes:
        time.sleep(0.02)
        return notification.packed

    harness = deployment.worker_harness(slow)
    began = time.monotonic()
    done = harness.step()
    assert time.monotonic() - began >= 0.2
    assert 1 <= done <= 12  # eleven fit into the time; fewer where the machine is busy
    assert len(deployment.entries()) == done
    assert deployment.leases() == {}
    assert len(deployment.due()) == 60 - done
    assert max(deployment.due().values()) <= deployment.now()


def test_stop__settles_what_is_encoded_and_releases_the_rest(
    any_server: Server, deploy: Deploy
) -> None:
    """A worker told to stop in the middle of a batch leaves no lease and no suspicion behind."""
    deployment = deploy(any_server, worker__batch_size=10)
    deployment.notify(*(f"u{n}" for n in range(10)))
    harness = deployment.worker_harness(lambda n, r: stop_at_third(n, r))
    seen: list[str] = []

    def stop_at_third(notification: Notification, _: Route) -> bytes:
        seen.append(notification.notification_id)
        if len(seen) == 3:
            harness.stop()
        return notification.packed

    before = deployment.now()
    assert harness.step() == 3
    assert (len(deployment.entries()), len(deployment.due()), deployment.leases()) == (3, 7, {})
    assert all(before <= due <= deployment.now() for due in deployment.due().values())
    assert deployment.worker_harness().step() == 7
    assert deployment.total("abandoned") == 0


def test_workers__share_the_work_without_conflicts(any_server: Server, deploy: Deploy) -> None:
    """Two workers take different routes: each sees the next ones, and no event is doubled."""
    deployment = deploy(any_server, worker__batch_size=20)
    for n in range(20):
        deployment.notify(*(f"u{n}-{k}" for k in range(50)))
    both_have_claimed = threading.Barrier(2)

    def meeting() -> Callable[[Notification, Route], bytes]:
        met: list[int] = []

        def encode(notification: Notification, _: Route) -> bytes:
            if not met:
                met.append(both_have_claimed.wait(HANG_S))
            return notification.packed

        return encode

    first, second = deployment.worker_harness(meeting()), deployment.worker_harness(meeting())
    with first.running(), second.running():
        wait_until(lambda: not deployment.due(), "all are published")
    workers = {route.history[-1].worker for route in deployment.routes().values()}
    assert workers == {"host-2-0000", "host-2-0001"}
    assert deployment.totals() == {"accepted": 1000, "published": 1000}


def test_idle_workers__pass_a_wake_up_on(any_server: Server, deploy: Deploy) -> None:
    """One wake-up is enough: a worker whose claim came back full wakes the next one."""
    deployment = deploy(any_server, worker__batch_size=5, worker__poll_interval_ms=3_600_000)

    def slow(notification: Notification, _: Route) -> bytes:
        time.sleep(0.002)
        return notification.packed

    first, second = deployment.worker_harness(slow), deployment.worker_harness(slow)
    with first.running(), second.running():
        clients = deployment.client.info
        wait_until(lambda: clients("clients")["blocked_clients"] == 2, "both listen")
        deployment.notify(*(f"u{n:03}" for n in range(200)))
        wait_until(lambda: not deployment.due(), "all are published")
    workers = {route.history[-1].worker for route in deployment.routes().values()}
    assert workers == {"host-2-0000", "host-2-0001"}


def test_worker__tells_that_it_lives(any_server: Server, deploy: Deploy) -> None:
    """A working worker shows itself with its progress, and is forgotten soon after its end."""
    deployment = deploy(any_server)
    harness = deployment.worker_harness(name="host-9-beef")
    harness.step()
    harness.step()
    key = deployment.keys.worker("host-9-beef")
    shown: Any = deployment.client.hgetall(key)
    assert set(shown) == {b"host", b"pid", b"version", b"started_ms", b"progress_ms"}
    assert 0 <= deployment.now() - int(shown[b"progress_ms"]) < 60_000
    assert 0 < deployment.client.pttl(key) <= 30_000
    assert deployment.client.zrange(deployment.keys.workers, 0, -1) == [b"host-9-beef"]


def test_worker__tells_that_it_lives_while_it_rests(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far apart it looks for due routes, its loop makes progress."""
    monkeypatch.setattr("galaxy_notify.publishing.claimer._BEAT_EVERY_S", 0.0)
    deployment = deploy(server, worker__poll_interval_ms=3_600_000)
    seen: set[float | None] = set()

    def beats() -> int:
        seen.add(deployment.client.zscore(deployment.keys.workers, "host-9-beef"))
        return len(seen - {None})

    with deployment.worker_harness(name="host-9-beef").running():
        wait_until(lambda: beats() > 3, "it has told of its progress again and again")


def with_another_loop(act: Callable[[], object]) -> None:
    """Run a worker of another process while this one's loop stands still."""
    from threading import Thread

    thread = Thread(target=act)
    thread.start()
    thread.join()
