"""Busy calls of the scripts that have to do with a stream: the gateway's, or the list."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_inspect.listing import listing_read
from galaxy_notify.redis_state import calls, group
from galaxy_notify.redis_state.group_report import FREQUENT, group_read
from tests.scripts.support.seeds import SEEDS
from tests.scripts.support.shard import NOW, Shard, new

_ROUTES = ("email:u1", "push:u1", "push:u2")


def _trim(shard: Shard) -> ScriptCall:
    """A stream far too long, with a group that has read half of it."""
    for number in range(40):
        shard.client.xadd(shard.keys.stream, {"n": number})
    shard.client.xgroup_create(shard.keys.stream, "gateway", "0")
    _read_half(shard)
    return calls.stream_trim(shard.keys, 5, 10**12)


def _pass_by(shard: Shard) -> ScriptCall:
    """A stream far too long, with a group that does not count any more."""
    _trim(shard)
    return calls.stream_trim(shard.keys, 5, None, {b"gateway": 1})


def _read_group(shard: Shard) -> ScriptCall:
    """A group that has read half of a stream, and lost something."""
    shard.run(_pass_by(shard))
    return group_read(shard.keys, FREQUENT)


def _trim_listing(shard: Shard) -> ScriptCall:
    """Notifications that are there, one that is gone, a batch half gone, and a stranger's entry."""
    for number in (1, 2):
        shard.accept(number)
    shard.answers(new(3), new(4))
    for number in (2, 3):
        SEEDS["cancelled"](shard, number + 10)
        shard.client.delete(shard.keys.notification(f"{number + 10:032x}"))
    shard.client.xadd(shard.keys.accepted, {"n": 1})
    return calls.listing_trim(shard.keys, "-", 100)


def _trim_listing_beginning(shard: Shard) -> ScriptCall:
    """All that was listed is gone."""
    for number in (1, 2):
        SEEDS["cancelled"](shard, number)
        shard.client.delete(shard.keys.notification(f"{number:032x}"))
    return calls.listing_trim(shard.keys, "-", 100)


def _read_listing(shard: Shard) -> ScriptCall:
    """A notification of several routes, one that is gone, one that was moved."""
    shard.accept(1, *_ROUTES)
    moved = shard.accept(2)
    shard.run(shard.rescheduling(*moved, due=NOW + 9_000, mark=True))
    names = [f"{number:032x}" for number in (1, 2, 9)]
    return listing_read(shard.keys, names, None, 300_000)


def _ack(shard: Shard) -> ScriptCall:
    """Two events that the group has handled."""
    return group.event_ack(shard.keys, "gateway", _delivered(shard), group.MarkLimits(60_000, 10))


def _park(shard: Shard) -> ScriptCall:
    """An event that the group cannot handle."""
    stream_id = next(iter(_delivered(shard)))
    item = group.Parking(stream_id, 10, "cannot be decoded")
    return group.event_park(shard.keys, "gateway", "gw-1", item, 100)


def _delivered(shard: Shard) -> dict[str, str]:
    ids = [str(shard.client.xadd(shard.keys.stream, {"n": n}), "ascii") for n in range(2)]  # type: ignore[arg-type]  # these are bytes
    shard.client.xgroup_create(shard.keys.stream, "gateway", "0")
    shard.client.xreadgroup("gateway", "gw-1", {shard.keys.stream: ">"})
    return {made: f"event-{made}" for made in ids}


def _read_half(shard: Shard) -> None:
    shard.client.xreadgroup("gateway", "gw-1", {shard.keys.stream: ">"}, count=20)


#: Name → what brings a shard to where the call is sent.
STREAMS: dict[str, Callable[[Shard], ScriptCall]] = {
    "stream_trim": _trim,
    "stream_trim past a group": _pass_by,
    "group_read": _read_group,
    "listing_trim": _trim_listing,
    "listing_trim the beginning": _trim_listing_beginning,
    "listing_read": _read_listing,
    "event_ack": _ack,
    "event_park": _park,
}
