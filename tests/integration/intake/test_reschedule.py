"""Another due time: what waits is moved, also from under a worker's hands; nothing is early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from galaxy_notify import AsyncNotifier, InvalidIntent, Rescheduled, Unavailable
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, Status
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import calls
from tests.integration.intake.test_notifier_parts import LARGE
from tests.support.servers import Server
from tests.support.site import Site, member_of
from tests.support.wait import wait_until

Found = Callable[..., Site]
HOUR = 3_600_000


def test_reschedule__moves_what_waits(any_server: Server, found: Found) -> None:
    """It is published at the new time and not before; both notifiers move alike."""
    site = found(any_server)
    made, later = site.notify("u1", "u2"), site.now() + HOUR
    assert site.notifier.reschedule(made, later) == Rescheduled(moved=2, too_late=0)
    assert site.station().step() == 0
    assert set(site.due().values()) == {later}
    soon = datetime.fromtimestamp((site.now() + 150) / 1000, UTC)

    async def move() -> Rescheduled:
        async with AsyncNotifier(site.settings) as notifier:
            return await notifier.reschedule(made, soon.isoformat(), actor="ann")

    assert asyncio.run(move()).moved == 2
    station = site.station()
    wait_until(lambda: bool(station.step()), "they are published")
    for entry in site.entries():
        assert int(entry["stream_id"].split(b"-")[0]) >= int(soon.timestamp() * 1000)
    line = site.route(member_of(made, "u1")).history
    assert [(one.event, one.worker) for one in line[:2]] == [
        ("rescheduled", "client"),
        ("rescheduled", "ann"),
    ]


def test_reschedule__moves_one_route(any_server: Server, found: Found) -> None:
    """Naming a route leaves the others where they are."""
    site = found(any_server)
    made = site.notify("u1", "u2")
    assert site.notifier.reschedule(made, site.now() + HOUR, route="push:u1").moved == 1
    site.station().step()
    assert site.statuses() == {"u1": "pending", "u2": "published"}
    assert site.notifier.reschedule(f"{made}/push:u1", 10**12).moved == 1
    site.station().step()
    assert site.statuses() == {"u1": "published", "u2": "published"}


def test_reschedule__between_claim_and_settle_wins(any_server: Server, found: Found) -> None:
    """A worker that has claimed and encoded a route does not publish it at the old time."""
    site = found(any_server)
    made, later = site.notify("u1", "u2"), site.now() + HOUR

    def interfere(notification: Notification, _: Route) -> bytes:
        site.notifier.reschedule(made, later, route="push:u1")
        return notification.packed

    site.station(interfere).step()
    assert site.statuses() == {"u1": "pending", "u2": "published"}
    assert site.due() == {member_of(made, "u1"): later}
    assert site.leases() == {}


def test_reschedule__to_now_is_published_once(any_server: Server, found: Found) -> None:
    """Due at once for the next worker, while the first still holds what it claimed."""
    site = found(any_server)
    made, other = site.notify("u1"), site.station()

    def interfere(notification: Notification, _: Route) -> bytes:
        site.notifier.reschedule(made, site.now())
        with ThreadPoolExecutor(1) as elsewhere:
            assert elsewhere.submit(other.step).result() == 1
        return notification.packed

    site.station(interfere).step()
    assert site.event_ids() == [member_of(made, "u1")]


def test_reschedule__wins_over_a_failing_worker(any_server: Server, found: Found) -> None:
    """A retry or burial that comes after it changes nothing."""
    site = found(any_server)
    made, later = site.notify("u1"), site.now() + HOUR

    def interfere(_: Notification, __: Route) -> bytes:
        site.notifier.reschedule(made, later)
        raise ValueError("broken")

    site.station(interfere).step()
    route = site.route(member_of(made, "u1"))
    assert (route.status, route.due_at_ms, route.attempts) == (Status.PENDING, later, 0)
    assert site.dead() == {}


def test_reschedule__races_a_worker(any_server: Server, found: Found) -> None:
    """Each route is published at the old time or moved to the new one, never both."""
    site = found(any_server, worker__batch_size=8)
    later, at = site.now() + HOUR, site.now() + 300
    names = [site.notify(f"u{n}", due_at=at + n) for n in range(60)]
    station = site.station(worker__batch_size=8)
    with station.running():
        wait_until(lambda: site.now() > at, "the first are due")
        moved = {name for name in names if site.notifier.reschedule(name, later).moved}
        left = set(names) - moved
        wait_until(lambda: len(site.entries()) >= len(left), "the others are published")
    published = {one.partition("/")[0] for one in site.event_ids()}
    assert published == left
    assert {name.partition("/")[0] for name in site.due()} == moved
    assert set(site.due().values()) <= {later}


def test_reschedule__after_the_event_is_too_late(any_server: Server, found: Found) -> None:
    """What is in the stream, cancelled or dead is not moved, and the answer says so."""
    site = found(any_server)
    made = site.notify("u1", "u2", "u3")
    site.notifier.cancel(made, route="push:u1")
    site.notifier.reschedule(made, site.now() + HOUR, route="push:u3")
    site.station().step()
    assert site.notifier.reschedule(made, site.now() + 2 * HOUR) == Rescheduled(1, 2)
    (dead,) = site.bury()
    assert site.notifier.reschedule(dead, site.now() + HOUR) == Rescheduled(0, 1)
    assert site.notifier.cancel(made).cancelled == 2
    assert site.notifier.reschedule(made, site.now() + HOUR) == Rescheduled(0, 3)


def test_reschedule__of_the_unknown_says_so(any_server: Server, found: Found) -> None:
    """An id that nobody accepted is unknown, and nothing is left behind for it."""
    site = found(any_server)
    later = site.now() + HOUR
    for name in ("0" * 32, "no id", f"{site.notify('u1')}/push:u9"):
        assert site.notifier.reschedule(name, later) == Rescheduled(0, 0, unknown=True)
    assert site.statuses() == {"u1": "pending"}


def test_reschedule__respects_the_expiry(any_server: Server, found: Found) -> None:
    """A due time at or after ``expires_at`` is refused; a replayed route has no expiry left."""
    site = found(any_server)
    end = site.now() + HOUR
    made = site.notify("u1", due_at=site.now() + 60_000, expires_at=end)
    for due in (end, end + 1):
        with pytest.raises(InvalidIntent, match=f"^due_at: must be earlier .* {end}$"):
            site.notifier.reschedule(made, due)
    assert site.notifier.reschedule(made, end - 1).moved == 1
    dead = member_of(site.notify("u2", expires_at=end), "u2")

    def fail(_: Notification, __: Route) -> bytes:
        raise ValueError("broken")

    site.station(fail).step()
    site.replay(dead)
    assert site.notifier.reschedule(dead, end + 1).moved == 1


@pytest.mark.parametrize("due", ["tomorrow", 1_900_000_000, "2030-01-01T00:00:00", None, True])
def test_reschedule__refuses_what_is_no_moment(due: object, server: Server, found: Found) -> None:
    """What no intent may have is refused by the same words, before Redis is asked."""
    site = found(server)
    with pytest.raises(InvalidIntent, match=r"^due_at: "):
        site.notifier.reschedule("0" * 32, due)  # type: ignore[arg-type]  # as a caller might


def test_reschedule__a_limit_on_the_past_holds_for_it(server: Server, found: Found) -> None:
    """So long ago it is an error here, too, as it is at accept; the deployment says how long."""
    site = found(server, limits__past_due_ms=60_000)
    made = site.notify("u1", due_at=site.now() - 30_000)
    with pytest.raises(InvalidIntent, match=r"^due_at: is 2 h ago, the limit is 1 min$"):
        site.notifier.reschedule(made, site.now() - 2 * HOUR)
    receipt = site.notifier.accept(
        {"type": "t", "producer": "p", "recipients": ["u"], "due_at": site.now() - HOUR}
    )
    assert receipt.error is not None
    assert receipt.error.field == "due_at"
    assert site.notifier.reschedule(made, site.now() - 30_000).moved == 1


def test_reschedule__large_ones_part_by_part(any_server: Server, found: Found) -> None:
    """All parts move; naming a part moves that part alone."""
    site = found(any_server, worker__shards=4)
    made, later = site.notify(*LARGE), site.now() + HOUR
    assert site.notifier.reschedule(f"{made}.2", later).moved == 1000
    assert sorted(set(site.due().values()))[-1] == later
    assert site.notifier.reschedule(made, later + 1) == Rescheduled(2500, 0)
    assert set(site.due().values()) == {later + 1}


def test_reschedule__sent_twice_moves_once(server: Server, found: Found) -> None:
    """Where the answer was lost the next one finds it done, and writes no second line."""
    site = found(server)
    made = site.notify("u1")
    for due in (site.now() + HOUR, site.now() - HOUR):
        lines = len(site.route(member_of(made, "u1")).history)
        for _ in range(2):
            assert site.notifier.reschedule(made, due).moved == 1
        assert len(site.route(member_of(made, "u1")).history) == lines + 1


def test_reschedule__that_never_sees_it_at_rest_gives_up(
    server: Server, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A route that changes between each reading and writing is left alone after three tries."""
    site = found(server)
    made = site.notify("u1")
    plain = calls.route_reschedule

    def meddle(*arguments: object, **named: object) -> object:
        member = member_of(made, "u1")
        state = site.route(member).rescheduled("other")
        change = calls.RouteChange("push:u1", site.state(member) or b"", state)
        site_call = plain(site.keys, made, [change], due_ms=site.now() + 5_000, mark=False)
        run_sync(site.client, site_call)
        return plain(*arguments, **named)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(calls, "route_reschedule", meddle)
    with pytest.raises(Unavailable, match="kept changing: reschedule it again"):
        site.notifier.reschedule(made, site.now() + HOUR)
