"""Intents of many recipients: accepted, repeated and cancelled part by part."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_notify.model.ids import id_for_key
from tests.support.intents import PLAIN
from tests.support.servers import Server
from tests.support.site import Site

Found = Callable[..., Site]
LARGE = [f"u{n:04}" for n in range(2500)]
KEYED = {**PLAIN, "recipients": LARGE, "idempotency_key": "k"}
MADE = id_for_key("lobby", "k")


def test_large_intent__becomes_parts_over_the_shards(any_server: Server, found: Found) -> None:
    """2,500 recipients are three parts; all of them are published, and a repeat is a duplicate."""
    site = found(any_server, worker__shards=4)
    receipt = site.notifier.accept(KEYED)
    assert (receipt.status, receipt.routes, receipt.parts) == ("accepted", 2500, 3)
    assert receipt.notification_id == MADE
    parts = sorted({member.partition("/")[0] for member in site.routes()})
    assert parts == [MADE, f"{MADE}.2", f"{MADE}.3"]
    assert site.notifier.accept(KEYED).status == "duplicate"
    station = site.station()
    while site.due():
        for shard in range(4):
            station.step(shard)
    assert sorted(entry["user_id"].decode() for entry in site.entries()) == LARGE


def test_large_intent__interrupted_between_parts_is_completed_by_a_repeat(
    any_server: Server, found: Found
) -> None:
    """Parts that a dying producer did not hand in are handed in by its repeat, and only those."""
    site = found(any_server, worker__shards=4)
    site.notifier.accept(KEYED)
    # As if the second part had never been sent.
    unsend(site, f"{MADE}.2")
    repeat = site.notifier.accept(KEYED)
    assert (repeat.status, repeat.routes, repeat.parts) == ("duplicate", 2500, 3)
    assert len(site.due()) == 2500
    assert site.total("accepted") == 2500


def test_large_intent__cancelled_between_parts_is_born_cancelled(
    any_server: Server, found: Found
) -> None:
    """Parts that arrive after the cancel are never published."""
    site = found(any_server, worker__shards=4)
    site.notifier.accept(KEYED)
    unsend(site, f"{MADE}.3")
    assert site.notifier.cancel(MADE).cancelled == 2000
    assert site.notifier.accept(KEYED).status == "duplicate"
    assert set(site.statuses().values()) == {"cancelled"}
    assert site.due() == {}
    assert site.total("cancelled") == 2500


def test_large_intent__cancelled_long_ago_stays_so_in_its_parts(
    any_server: Server, found: Found
) -> None:
    """The first part decides for those that follow, also where their own mark is gone."""
    site = found(any_server, worker__shards=4)
    site.notifier.accept(KEYED)
    assert site.notifier.cancel(MADE).cancelled == 2500
    keys = site.key_space.keys_for(f"{MADE}.3")
    site.client.delete(keys.notification(f"{MADE}.3"))
    for total in ("accepted", "cancelled"):
        site.client.hincrby(keys.totals, total, -500)
    assert site.notifier.accept(KEYED).status == "duplicate"
    assert set(site.statuses().values()) == {"cancelled"}
    assert len(site.routes()) == 2500


def test_large_intent__is_cancelled_as_a_whole(any_server: Server, found: Found) -> None:
    """Cancel acts on all parts; naming a part takes back that part alone."""
    site = found(any_server, worker__shards=4)
    made = site.notify(*LARGE)
    assert site.notifier.cancel(f"{made}.2").cancelled == 1000
    done = site.notifier.cancel(made)
    assert (done.cancelled, done.too_late) == (2500, 0)
    assert site.due() == {}


def unsend(site: Site, part: str) -> None:
    """Leave Redis as if a part had never been sent."""
    keys = site.key_space.keys_for(part)
    routes = [member for member in site.due() if member.startswith(f"{part}/")]
    site.client.delete(keys.notification(part))
    site.client.zrem(keys.schedule("push"), *routes)
    site.client.hincrby(keys.totals, "accepted", -len(routes))
