"""Routes whose workers died again and again: taken alone, and buried before they kill once more."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, Status
from tests.support.servers import Server
from tests.support.site import Site, member_of
from tests.support.worker import packed

Found = Callable[..., Site]


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
    site.move_leases(site.now() - 1)
