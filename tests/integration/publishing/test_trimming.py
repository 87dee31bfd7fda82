"""The length of the gateway stream: trimmed as its readers allow, and held where they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from galaxy_notify.publishing import janitor
from galaxy_notify.redis_inspect.streams import read_streams
from tests.support.servers import Server
from tests.support.site import Site
from tests.support.telemetry import Lines
from tests.support.wait import wait_until
from tests.support.worker import Station

Found = Callable[..., Site]


def publish(site: Site, station: Station, number: int) -> list[bytes]:
    """Publish events and return the stream ids of all there are."""
    site.notify(*(f"u{n}" for n in range(number)))
    while site.due():
        station.step()
    return stream_ids(site)


def stream_ids(site: Site) -> list[bytes]:
    """Return the stream ids of all entries."""
    entries: Any = site.client.xrange(site.keys.stream)
    return [stream_id for stream_id, _ in entries]


def read(site: Site, group: str, number: int, acknowledge: int) -> None:
    """Let a group read some entries and acknowledge the first of them."""
    stream = site.keys.stream
    reply: Any = site.client.xreadgroup(group, "gw-1", {stream: ">"}, count=number)
    entries = reply[stream.encode()][0] if isinstance(reply, dict) else reply[0][1]
    ids = [stream_id for stream_id, _ in entries][:acknowledge]
    if ids:
        site.client.xack(stream, group, *ids)


def test_trim__keeps_what_a_group_has_not_acknowledged(any_server: Server, found: Found) -> None:
    """Beyond max_len everything goes that all groups are done with, and nothing else."""
    site = found(any_server, gateway__max_len=10)
    site.client.xgroup_create(site.keys.stream, "quick", id="0", mkstream=True)
    site.client.xgroup_create(site.keys.stream, "slow", id="0")
    station = site.station()
    ids = publish(site, station, 19)
    read(site, "quick", 19, 19)
    read(site, "slow", 12, 7)
    station.tidy()
    assert stream_ids(site) == ids[7:]
    # With nothing pending it is what it was last given that counts, and then the length.
    site.client.xack(site.keys.stream, "slow", *ids[7:12])
    station.tidy()
    assert stream_ids(site) == ids[9:]


def test_trim__without_groups_keeps_the_newest(any_server: Server, found: Found) -> None:
    """A stream that no group reads is cut to its length."""
    site = found(any_server, gateway__max_len=10)
    station = site.station()
    ids = publish(site, station, 19)
    station.tidy()
    assert stream_ids(site) == ids[-10:]


@pytest.mark.parametrize("policy", ["always", "none"])
def test_trim__policy_that_ignores_groups(any_server: Server, found: Found, policy: str) -> None:
    """always drops the oldest whoever waits for them, in whole nodes; none drops nothing."""
    site = found(any_server, gateway__max_len=10, gateway__trim=policy)
    site.client.xgroup_create(site.keys.stream, "gateway", id="0", mkstream=True)
    station = site.station()
    ids = publish(site, station, 350)
    station.tidy()
    left = stream_ids(site)
    if policy == "none":
        assert left == ids
        lost = 0
    else:
        assert left == ids[-len(left) :]
        assert 10 <= len(left) <= 150
        lost = len(ids) - len(left)
    report = read_streams(site.deployment)[0].groups["gateway"]
    assert (report["lag"], report["lost"]) == (len(left), lost)


def test_claiming__holds_at_twice_the_length(
    any_server: Server, found: Found, lines: Lines
) -> None:
    """A stream that nobody reads stops the claiming before it grows on; reading it frees it."""
    site = found(any_server, gateway__max_len=5, worker__poll_interval_ms=3_600_000)
    site.client.xgroup_create(site.keys.stream, "gateway", id="0", mkstream=True)
    station = site.station()
    assert len(publish(site, station, 10)) == 10
    site.notify("waits")
    with station.running():
        wait_until(lambda: told(lines, "claiming held"), "it holds")
        assert len(site.due()) == 1
        (stream,) = read_streams(site.deployment)
        assert (stream.length, stream.max_len, stream.holding) == (10, 5, True)
        read(site, "gateway", 10, 10)
        # Long before the poll interval: whoever trims wakes who waits for it.
        wait_until(lambda: not site.due(), "it goes on")
    assert len(told(lines, "claiming held")) == 1
    assert len(told(lines, "claiming resumed")) == 1


@pytest.mark.parametrize("policy", ["always", "none"])
def test_claiming__holds_for_no_other_policy(any_server: Server, found: Found, policy: str) -> None:
    """Where readers do not count, nothing waits for them."""
    site = found(any_server, gateway__max_len=5, gateway__trim=policy)
    site.client.xgroup_create(site.keys.stream, "gateway", id="0", mkstream=True)
    station = site.station()
    publish(site, station, 12)
    site.notify("more")
    assert station.step() == 1


def test_idle_group__no_longer_holds(any_server: Server, found: Found, lines: Lines) -> None:
    """A group whose consumers were not seen for long is passed by; that is told and counted."""
    site = found(any_server, gateway__max_len=10, gateway__group_idle_ms=2000)
    site.client.xgroup_create(site.keys.stream, "left", id="0", mkstream=True)
    station = site.station()
    ids = publish(site, station, 19)
    read(site, "left", 1, 1)
    station.tidy()
    assert stream_ids(site)[-18:] == ids[-18:]
    seen = site.now()
    wait_until(lambda: site.now() > seen + 2050, "it was not seen for long")
    station.tidy()
    assert stream_ids(site) == ids[-10:]
    publish(site, station, 10)
    station.tidy()
    (line,) = told(lines, "idle group no longer holds trimming")
    assert line["group"] == "left"
    # Of 19 entries it had read one, and ten were left; then ten more went.
    assert read_streams(site.deployment)[0].groups["left"]["lost"] == 18
    (loss,) = told(lines, "group lost entries to trimming")
    assert (loss["group"], loss["entries"]) == ("left", 8)


def test_trim__comes_at_once_where_a_batch_made_the_stream_too_long(
    server: Server, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settle that sees the stream over its length has it trimmed, not only at the next pass."""
    for pause in ("_EVERY_S", "_QUIET_S"):
        monkeypatch.setattr(janitor, pause, 3600.0)
    site = found(server, gateway__max_len=10)
    with site.station().running():
        wait_until(lambda: site.client.exists(site.keys.janitor), "the janitor has begun")
        site.notify(*(f"u{n}" for n in range(19)))
        wait_until(lambda: not site.due(), "all are published")
        wait_until(lambda: len(stream_ids(site)) == 10, "it is trimmed")


def told(lines: Lines, event: str) -> list[dict[str, Any]]:
    """Return the lines of an event."""
    return [line for line in lines() if line["event"] == event]
