"""The list is trimmed by the janitor, with what it names."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tests.support.servers import Server
from tests.support.site import Site
from tests.support.telemetry import Lines
from tests.support.wait import wait_until

Found = Callable[..., Site]


def _forget(site: Site, made: str) -> None:
    site.notifier.cancel(made)
    site.client.pexpire(site.key_space.keys_for(made).notification(made), 1)


def _is_gone(site: Site, made: list[str]) -> bool:
    keys = [site.key_space.keys_for(one).notification(one) for one in made]
    return not site.client.exists(*keys)


def test_list_trimmer__removes_what_is_gone(any_server: Server, found: Found) -> None:
    """Entries go with what they name, in whatever order that ends."""
    site = found(any_server)
    made = [site.notify() for _ in range(40)]
    for one in made[::2]:
        _forget(site, one)
    wait_until(lambda: _is_gone(site, made[::2]), "they have expired")
    station = site.station()
    station.trim_list()
    assert site.client.xlen(site.keys.accepted) == 20
    station.trim_list()
    assert site.client.xlen(site.keys.accepted) == 20
    for one in made[1::2]:
        _forget(site, one)
    wait_until(lambda: _is_gone(site, made), "all have expired")
    station.trim_list()
    assert site.client.xlen(site.keys.accepted) == 0


def test_list_trimmer__goes_on_while_pages_go(server: Server, found: Found) -> None:
    """What went together is removed in one go, a bounded piece in each pass."""
    site = found(server)
    with site.client.pipeline(transaction=False) as pipeline:
        for _ in range(3_000):
            pipeline.xadd(site.keys.accepted, {"ids": "0" * 32})
        pipeline.execute()
    alive = site.notify()
    station = site.station()
    trimmer = station.shards[0].janitor.list_trimmer
    trimmer._looked_at = 0.0
    left = [3_001]
    while station.run(trimmer.trim()):
        left.append(int(site.client.xlen(site.keys.accepted)))
    assert all(before - after == 512 for before, after in pairwise(left))
    entries: Any = site.client.xrange(site.keys.accepted)
    assert [fields for _, fields in entries] == [{b"ids": alive.encode()}]


def test_list_trimmer__looks_seldom_where_nothing_goes(server: Server, found: Found) -> None:
    """An idle shard is not asked again soon; one at work is."""
    site = found(server)
    for _ in range(300):
        site.notify()
    station = site.station()
    trimmer = station.shards[0].janitor.list_trimmer
    station.trim_list()
    asked = _runs(site)
    station.tidy()
    assert _runs(site) == asked
    trimmer._looked_at -= 2
    station.tidy()
    assert _runs(site) == asked
    station.shards[0].state.settled_batch(0)
    trimmer._looked_at -= 2
    station.tidy()
    assert _runs(site) > asked


def _runs(site: Site) -> int:
    """Return how often the list was read."""
    stats: Any = site.client.info("commandstats")
    return int(stats.get("cmdstat_xrange", {}).get("calls", 0))


def test_list_trimmer__is_stopped_by_no_stranger(
    any_server: Server, found: Found, lines: Lines
) -> None:
    """Another key in its place is told once; the janitor does all the rest."""
    site = found(any_server)
    site.client.set(site.keys.accepted, "foreign")
    station = site.station()
    for _ in range(3):
        station.trim_list()
        assert station.tidy()
    told = [line for line in lines() if line["event"] == "list not trimmed"]
    assert [(line["code"], line["level"]) for line in told] == [("WRONGTYPE", "warning")]
    site.client.delete(site.keys.accepted)
    station.trim_list()
    assert [line["event"] for line in lines()][-1] == "list trimmed again"
