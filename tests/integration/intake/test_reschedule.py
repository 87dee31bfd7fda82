"""Another due time: what waits is moved, also from under a worker's hands; nothing is early."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from galaxy_notify import AsyncNotifier, InvalidIntent, Rescheduled, Unavailable
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, Status
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import calls
from tests.integration.intake.test_notifier_parts import LARGE
from tests.support.deployment import Deploy, member_of
from tests.support.servers import Server
from tests.support.wait import wait_until

HOUR = 3_600_000


def test_reschedule__moves_what_waits(any_server: Server, deploy: Deploy) -> None:
    """It is published at the new time and not before; both notifiers move alike."""
    deployment = deploy(any_server)
    made, later = deployment.notify("u1", "u2"), deployment.now() + HOUR
    assert deployment.notifier.reschedule(made, later) == Rescheduled(moved=2, too_late=0)
    assert deployment.worker_harness().step() == 0
    assert set(deployment.due().values()) == {later}
    soon = datetime.fromtimestamp((deployment.now() + 150) / 1000, UTC)

    async def move() -> Rescheduled:
        async with AsyncNotifier(deployment.settings) as notifier:
            return await notifier.reschedule(made, soon.isoformat(), actor="ann")

    assert asyncio.run(move()).moved == 2
    harness = deployment.worker_harness()
    wait_until(lambda: bool(harness.step()), "they are published")
    for entry in deployment.entries():
        assert int(entry["stream_id"].split(b"-")[0]) >= int(soon.timestamp() * 1000)
    line = deployment.route(member_of(made, "u1")).history
    assert [(one.event, one.worker) for one in line[:2]] == [
        ("rescheduled", "client"),
        ("rescheduled", "ann"),
    ]


def test_reschedule__moves_one_route(any_server: Server, deploy: Deploy) -> None:
    """Naming a route leaves the others where they are."""
    deployment = deploy(any_server)
    made = deployment.notify("u1", "u2")
    assert deployment.notifier.reschedule(made, deployment.now() + HOUR, route="push:u1").moved == 1
    deployment.worker_harness().step()
    assert deployment.statuses() == {"u1": "pending", "u2": "published"}
    assert deployment.notifier.reschedule(f"{made}/push:u1", 10**12).moved == 1
    deployment.worker_harness().step()
    assert deployment.statuses() == {"u1": "published", "u2": "published"}


def test_reschedule__between_claim_and_settle_wins(any_server: Server, deploy: Deploy) -> None:
    """A worker that has claimed and encoded a route does not publish it at the old time."""
    deployment = deploy(any_server)
    made, later = deployment.notify("u1", "u2"), deployment.now() + HOUR

    def interfere(notification: Notification, _: Route) -> bytes:
        deployment.notifier.reschedule(made, later, route="push:u1")
        return notification.packed

    deployment.worker_harness(interfere).step()
    assert deployment.statuses() == {"u1": "pending", "u2": "published"}
    assert deployment.due() == {member_of(made, "u1"): later}
    assert deployment.leases() == {}


def test_reschedule__to_now_is_published_once(any_server: Server, deploy: Deploy) -> None:
    """Due at once for the next worker, while the first still holds what it claimed."""
    deployment = deploy(any_server)
    made, other = deployment.notify("u1"), deployment.worker_harness()

    def interfere(notification: Notification, _: Route) -> bytes:
        deployment.notifier.reschedule(made, deployment.now())
        with ThreadPoolExecutor(1) as elsewhere:
            assert elsewhere.submit(other.step).result() == 1
        return notification.packed

    deployment.worker_harness(interfere).step()
    assert deployment.event_ids() == [member_of(made, "u1")]


def test_reschedule__wins_over_a_failing_worker(any_server: Server, deploy: Deploy) -> None:
    """A retry or burial that comes after it changes nothing."""
    deployment = deploy(any_server)
    made, later = deployment.notify("u1"), deployment.now() + HOUR

    def interfere(_: Notification, __: Route) -> bytes:
        deployment.notifier.reschedule(made, later)
        raise ValueError("broken")

    deployment.worker_harness(interfere).step()
    route = deployment.route(member_of(made, "u1"))
    assert (route.status, route.due_at_ms, route.attempts) == (Status.PENDING, later, 0)
    assert deployment.dead() == {}


def test_reschedule__races_a_worker(any_server: Server, deploy: Deploy) -> None:
    """Each route is published at the old time or moved to the new one, never both."""
    deployment = deploy(any_server, worker__batch_size=8)
    later, at = deployment.now() + HOUR, deployment.now() + 300
    names = [deployment.notify(f"u{n}", due_at=at + n) for n in range(60)]
    harness = deployment.worker_harness(worker__batch_size=8)
    with harness.running():
        wait_until(lambda: deployment.now() > at, "the first are due")
        moved = {name for name in names if deployment.notifier.reschedule(name, later).moved}
        left = set(names) - moved
        wait_until(lambda: len(deployment.entries()) >= len(left), "the others are published")
    published = {one.partition("/")[0] for one in deployment.event_ids()}
    assert published == left
    assert {name.partition("/")[0] for name in deployment.due()} == moved
    assert set(deployment.due().values()) <= {later}


def test_reschedule__after_the_event_is_too_late(any_server: Server, deploy: Deploy) -> None:
    """What is in the stream, cancelled or dead is not moved, and the answer says so."""
    deployment = deploy(any_server)
    made = deployment.notify("u1", "u2", "u3")
    deployment.notifier.cancel(made, route="push:u1")
    deployment.notifier.reschedule(made, deployment.now() + HOUR, route="push:u3")
    deployment.worker_harness().step()
    assert deployment.notifier.reschedule(made, deployment.now() + 2 * HOUR) == Rescheduled(1, 2)
    (dead,) = deployment.bury()
    assert deployment.notifier.reschedule(dead, deployment.now() + HOUR) == Rescheduled(0, 1)
    assert deployment.notifier.cancel(made).cancelled == 2
    assert deployment.notifier.reschedule(made, deployment.now() + HOUR) == Rescheduled(0, 3)


def test_reschedule__of_the_unknown_says_so(any_server: Server, deploy: Deploy) -> None:
    """An id that nobody accepted is unknown, and nothing is left behind for it."""
    deployment = deploy(any_server)
    later = deployment.now() + HOUR
    for name in ("0" * 32, "no id", f"{deployment.notify('u1')}/push:u9"):
        assert deployment.notifier.reschedule(name, later) == Rescheduled(0, 0, unknown=True)
    assert deployment.statuses() == {"u1": "pending"}


def test_reschedule__respects_the_expiry(any_server: Server, deploy: Deploy) -> None:
    """A due time at or after ``expires_at`` is refused; a replayed route has no expiry left."""
    deployment = deploy(any_server)
    end = deployment.now() + HOUR
    made = deployment.notify("u1", due_at=deployment.now() + 60_000, expires_at=end)
    for due in (end, end + 1):
        with pytest.raises(InvalidIntent, match=f"^due_at: must be earlier .* {end}$"):
            deployment.notifier.reschedule(made, due)
    assert deployment.notifier.reschedule(made, end - 1).moved == 1
    dead = member_of(deployment.notify("u2", expires_at=end), "u2")

    def fail(_: Notification, __: Route) -> bytes:
        raise ValueError("broken")

    deployment.worker_harness(fail).step()
    deployment.replay(dead)
    assert deployment.notifier.reschedule(dead, end + 1).moved == 1


@pytest.mark.parametrize("due", ["tomorrow", 1_900_000_000, "2030-01-01T00:00:00", None, True])
def test_reschedule__refuses_what_is_no_moment(due: object, server: Server, deploy: Deploy) -> None:
    """What no intent may have is refused by the same words, before Redis is asked."""
    deployment = deploy(server)
    with pytest.raises(InvalidIntent, match=r"^due_at: "):
        deployment.notifier.reschedule("0" * 32, due)  # type: ignore[arg-type]  # as a caller might


def test_reschedule__a_limit_on_the_past_holds_for_it(server: Server, deploy: Deploy) -> None:
    """So long ago it is an error here, too, as it is at accept; the deployment says how long."""
    deployment = deploy(server, limits__past_due_ms=60_000)
    made = deployment.notify("u1", due_at=deployment.now() - 30_000)
    with pytest.raises(InvalidIntent, match=r"^due_at: is 2 h ago, the limit is 1 min$"):
        deployment.notifier.reschedule(made, deployment.now() - 2 * HOUR)
    receipt = deployment.notifier.accept(
        {"type": "t", "producer": "p", "recipients": ["u"], "due_at": deployment.now() - HOUR}
    )
    assert receipt.error is not None
    assert receipt.error.field == "due_at"
    assert deployment.notifier.reschedule(made, deployment.now() - 30_000).moved == 1


def test_reschedule__large_ones_part_by_part(any_server: Server, deploy: Deploy) -> None:
    """All parts move; naming a part moves that part alone."""
    deployment = deploy(any_server, worker__shards=4)
    made, later = deployment.notify(*LARGE), deployment.now() + HOUR
    assert deployment.notifier.reschedule(f"{made}.2", later).moved == 1000
    assert sorted(set(deployment.due().values()))[-1] == later
    assert deployment.notifier.reschedule(made, later + 1) == Rescheduled(2500, 0)
    assert set(deployment.due().values()) == {later + 1}


def test_reschedule__sent_twice_moves_once(server: Server, deploy: Deploy) -> None:
    """Where the answer was lost the next one finds it done, and writes no second line."""
    deployment = deploy(server)
    made = deployment.notify("u1")
    for due in (deployment.now() + HOUR, deployment.now() - HOUR):
        lines = len(deployment.route(member_of(made, "u1")).history)
        for _ in range(2):
            assert deployment.notifier.reschedule(made, due).moved == 1
        assert len(deployment.route(member_of(made, "u1")).history) == lines + 1


def test_reschedule__that_never_sees_it_at_rest_gives_up(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A route that changes between each reading and writing is left alone after three tries."""
    deployment = deploy(server)
    made = deployment.notify("u1")
    plain = calls.route_reschedule

    def meddle(*arguments: object, **named: object) -> object:
        member = member_of(made, "u1")
        state = deployment.route(member).rescheduled("other")
        change = calls.RouteChange("push:u1", deployment.state(member) or b"", state)
        site_call = plain(
            deployment.keys, made, [(change, 0)], due_ms=deployment.now() + 5_000, mark=False
        )
        run_sync(deployment.client, site_call)
        return plain(*arguments, **named)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(calls, "route_reschedule", meddle)
    with pytest.raises(Unavailable, match="kept changing: repeat the reschedule"):
        deployment.notifier.reschedule(made, deployment.now() + HOUR)
