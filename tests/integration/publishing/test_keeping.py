"""How long what is done with is kept."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from tests.support.servers import Server
from tests.support.site import Site, member_of

Found = Callable[..., Site]


def test_notification__is_kept_after_its_last_route(any_server: Server, found: Found) -> None:
    """The last route that needed a notification gives it its end, later where it has a key."""
    site = found(any_server, retention__settled_ms=60_000, retention__idempotency_ms=90_000)
    plain = site.notify("u1", "u2")
    keyed = site.notify("u1", idempotency_key="k")
    later = site.notify("u1", due_at=site.now() + 60_000)
    site.notifier.cancel(plain, route="push:u1")
    assert kept(site, plain) == -1
    site.station().step()
    assert 30_000 < kept(site, plain) <= 60_000
    assert 60_000 < kept(site, keyed) <= 90_000
    assert kept(site, later) == -1


def test_dead_letter__is_kept_for_ever(any_server: Server, found: Found) -> None:
    """A notification with a dead letter has no end; its replay still finds everything."""

    def broken(notification: Notification, _: Route) -> bytes:
        raise ValueError(notification.type)

    site = found(any_server)
    made = site.notify("u1")
    site.station(broken).step()
    assert kept(site, made) == -1
    site.replay(member_of(made, "u1"))
    site.station().step()
    assert site.statuses() == {"u1": "published"}
    assert kept(site, made) > 0


def test_record__that_vanished_takes_its_event_back(any_server: Server, found: Found) -> None:
    """A notification deleted between claim and settle leaves nothing in the stream."""
    site = found(any_server)
    site.whole = False
    gone = site.notify("gone")
    site.notify("stays")

    def encode(notification: Notification, _: Route) -> bytes:
        site.client.delete(site.keys.notification(gone))
        return notification.packed

    site.station(encode).step()
    assert [entry["user_id"] for entry in site.entries()] == [b"stays"]
    assert site.orphans() == {member_of(gone, "gone"): "record_missing"}
    assert site.client.exists(site.keys.notification(gone)) == 0
    assert (site.due(), site.leases()) == ({}, {})
    assert (site.total("undone"), site.total("purged")) == (1, 1)
    site.assert_conserved()


def kept(site: Site, notification_id: str) -> int:
    """Return for how many ms a notification is kept, -1 for ever."""
    return int(site.client.pttl(site.keys.notification(notification_id)))
