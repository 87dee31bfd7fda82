"""Cancel wins until the event is in the stream."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, Status
from tests.support.servers import Server
from tests.support.site import Site, member_of

Found = Callable[..., Site]


def test_cancel__takes_back_what_waits(any_server: Server, found: Found) -> None:
    """A cancelled notification is never published; cancelling again says the same."""
    site = found(any_server)
    made = site.notify("u1", "u2")
    for _ in range(2):
        done = site.notifier.cancel(made)
        assert (done.cancelled, done.too_late, done.unknown) == (2, 0, False)
    assert site.station().step() == 0
    assert site.statuses() == {"u1": "cancelled", "u2": "cancelled"}
    assert (site.entries(), site.due()) == ([], {})
    assert site.total("cancelled") == 2


def test_cancel__takes_back_one_route(any_server: Server, found: Found) -> None:
    """Naming a route leaves the others on their way."""
    site = found(any_server)
    made = site.notify("u1", "u2")
    assert site.notifier.cancel(made, route="push:u1").cancelled == 1
    site.station().step()
    assert site.statuses() == {"u1": "cancelled", "u2": "published"}


def test_cancel__between_claim_and_settle_wins(any_server: Server, found: Found) -> None:
    """A worker that has claimed and encoded a route publishes nothing once it is cancelled."""
    site = found(any_server)
    made = site.notify("u1", "u2")

    def interfere(notification: Notification, _: Route) -> bytes:
        site.notifier.cancel(made, route="push:u1")
        return notification.packed

    site.station(interfere).step()
    assert [entry["user_id"] for entry in site.entries()] == [b"u2"]
    assert site.statuses() == {"u1": "cancelled", "u2": "published"}
    assert site.leases() == {}


def test_cancel__wins_over_a_failing_worker(any_server: Server, found: Found) -> None:
    """A retry or burial that comes after the cancel changes nothing."""
    site = found(any_server)
    made = site.notify("u1")

    def interfere(_: Notification, __: Route) -> bytes:
        site.notifier.cancel(made)
        raise ValueError("broken")

    site.station(interfere).step()
    assert site.route(member_of(made, "u1")).status is Status.CANCELLED
    assert site.dead() == {}


def test_cancel__after_the_event_is_too_late(any_server: Server, found: Found) -> None:
    """What is in the stream cannot be taken back, and the answer says so."""
    site = found(any_server)
    made = site.notify("u1", "u2")
    assert site.notifier.cancel(made, route="push:u1").cancelled == 1
    site.station().step()
    done = site.notifier.cancel(made)
    assert (done.cancelled, done.too_late) == (1, 1)
    assert site.total("cancelled") == 1


def test_cancel__of_the_unknown_says_so(any_server: Server, found: Found) -> None:
    """An id that nobody accepted is unknown, and nothing is left behind for it."""
    site = found(any_server)
    assert site.notifier.cancel("0" * 32).unknown
    assert site.notifier.cancel("no id").unknown
    made = site.notify("u1")
    assert site.notifier.cancel(made, route="push:u9").unknown
    assert site.statuses() == {"u1": "pending"}
