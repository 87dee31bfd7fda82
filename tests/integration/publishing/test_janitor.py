"""The slow loop: one at a time, freeing what a clock holds and forgetting what is past."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.servers import Server
from tests.support.site import Site
from tests.support.wait import wait_until

Found = Callable[..., Site]


def test_clock__set_back_frees_what_is_leased(any_server: Server, found: Found) -> None:
    """A lease that a clock step prolonged far beyond its time lapses in time again."""
    site = found(any_server)
    site.notify("u1", "u2")
    later = site.now() + 60_000
    site.notify("later", due_at=later)
    assert site.claim("push", 0)
    held = site.leases()
    site.move_leases(site.now() + 3_600_000)
    station = site.station()
    assert station.step() == 0
    assert station.tidy()
    assert site.leases() == held
    assert all(site.due()[member] <= site.now() + 30_000 for member in held)
    assert max(site.due().values()) == later


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


def test_janitor__that_died_before_the_clock_was_set_back_is_replaced(
    any_server: Server, found: Found
) -> None:
    """A lock that would last longer than it may is nobody's: leases are healed all the same."""
    site = found(any_server)
    site.client.set(site.keys.janitor, "host-9-dead", px=3_600_000)
    assert site.station().tidy()
    site.client.set(site.keys.janitor, "host-9-living", px=5_000)
    assert not site.station().tidy()


def test_server__that_restarts_empty_is_told_again_what_was_agreed(
    any_server: Server, found: Found
) -> None:
    """A producer that asks an emptied server learns the shards, not a default of its own."""
    site = found(any_server)
    agreed = site.client.hgetall(site.keys.meta)
    assert agreed
    site.client.delete(site.keys.meta)
    assert site.station().tidy()
    assert site.client.hgetall(site.keys.meta) == agreed
