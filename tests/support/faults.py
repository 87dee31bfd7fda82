"""Faults for fsck to find: each plants one kind into a sound deployment and names its subject."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from galaxy_notify.model.route import Failure, decode_route, initial_state
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import leases
from galaxy_notify.redis_state.leases import Bury, Settlement
from tests.support.site import Site, member_of

LATER_MS = 3_600_000
_numbers = count()


def pending(site: Site, **fields: Any) -> str:
    """Accept a notification that is due in an hour, and return its member."""
    return member_of(site.notify(due_at=site.now() + LATER_MS, **fields))


def dead(site: Site) -> str:
    """Return a dead letter."""
    member = member_of(site.notify())
    (claimed,), token = _taken(site, member)
    settlement, state = Settlement(), decode_route(claimed.state)
    failure = Failure("payload_encoding_failed", "no such codec")
    settlement.add(Bury(claimed.member, state.dead_lettered("host-1-abcd", failure, attempt=True)))
    run_sync(site.client, settlement.call(site.keys, "push", token))
    return member


def _taken(site: Site, member: str) -> tuple[Sequence[leases.ClaimedMember], str]:
    """Take one member under a lease, and no other."""
    token = f"host-1-abcd:8:30000:{next(_numbers)}"
    site.client.zadd(site.keys.schedule("push"), {member: 0})
    limits = leases.ClaimLimits(1, 30_000, 1, 300_000, 0)
    call = leases.route_claim(site.keys, "push", token, limits, alone=False, now=None)
    return leases.read_claim(run_sync(site.client, call), token).members, token


def cancelled(site: Site) -> str:
    """Return a route that was taken back."""
    member = pending(site)
    site.notifier.cancel(member.partition("/")[0])
    return member


def leased(site: Site) -> str:
    """Return a route under lease."""
    member = member_of(site.notify())
    assert _taken(site, member)[0]
    return member


def _schedule(site: Site, member: str, score: float, channel: str = "push") -> str:
    site.client.zadd(site.keys.schedule(channel), {member: score})
    return member


def _unschedule(site: Site, member: str) -> str:
    assert site.client.zrem(site.keys.schedule("push"), member)
    return member


def _bury(site: Site, member: str, at_ms: int = 1) -> str:
    site.client.zadd(site.keys.dead("push"), {member: at_ms})
    return member


def _count(site: Site, member: str) -> str:
    site.client.hset(site.keys.abandoned("push"), member, 1)
    return member


def _held(site: Site, lapses: float) -> str:
    member = leased(site)
    site.move_leases(lapses)
    return member


def _key(site: Site, member: str) -> str:
    return site.record(member)[0]


def _without_hash(site: Site, member: str) -> str:
    site.client.delete(_key(site, member))
    return member


def _without_field(site: Site, member: str, name: str) -> str:
    assert site.client.hdel(_key(site, member), name)
    return member


def _with_field(site: Site, member: str, name: str, value: str | bytes) -> str:
    site.client.hset(_key(site, member), name, value)
    return member


def _route_id(member: str) -> str:
    return member.partition("/")[2]


def _wrong_channel(site: Site) -> str:
    member = pending(site, channels=["email"]).replace("/push:", "/email:")
    site.client.zrem(site.keys.schedule("email"), member)
    return _schedule(site, member, site.now() + LATER_MS)


def _not_listed(site: Site) -> str:
    member = dead(site)
    site.client.zrem(site.keys.dead("push"), member)
    return member


def _unreadable(site: Site) -> str:
    member = pending(site)
    return _with_field(site, member, _route_id(member), b"\x00")


def _expires(site: Site) -> str:
    member = pending(site)
    site.client.pexpire(_key(site, member), LATER_MS)
    return member.partition("/")[0]


def _endless(site: Site) -> str:
    member = cancelled(site)
    site.client.persist(_key(site, member))
    return member.partition("/")[0]


def _totals(site: Site) -> str:
    site.client.hincrby(site.keys.totals, "accepted", 3)
    return site.keys.totals


def _malformed(site: Site) -> str:
    return _schedule(site, f"nobody-{next(_numbers)}", site.now())


def _miscounted(site: Site) -> str:
    return _with_field(site, pending(site), "open", "7").partition("/")[0]


#: The code of the finding → what plants it and returns its subject. All of them can be mended.
FAULTS: dict[str, Callable[[Site], str]] = {
    "already-ended": lambda site: _schedule(site, cancelled(site), site.now()),
    "early": lambda site: _schedule(site, pending(site), site.now()),
    "endless": _endless,
    "expires": _expires,
    "late": lambda site: _schedule(site, pending(site), site.now() + 2 * LATER_MS),
    "long-lease": lambda site: _held(site, site.now() + LATER_MS),
    "malformed": _malformed,
    "miscounted": _miscounted,
    "not-dead": lambda site: _bury(site, pending(site)),
    "not-listed": _not_listed,
    "not-scheduled": lambda site: _unschedule(site, pending(site)),
    "record-missing": lambda site: _without_field(site, pending(site), "record"),
    "scheduled-dead": lambda site: _schedule(site, dead(site), site.now()),
    "stray-count": lambda site: _count(site, cancelled(site)),
    "totals": _totals,
    "unreadable": _unreadable,
    "vanished": lambda site: _without_hash(site, pending(site)),
    "wrong-channel": _wrong_channel,
    "wrong-time": lambda site: _bury(site, dead(site)),
}

#: Further places of the same kinds: each names the code that it should be found by.
VARIANTS: dict[str, tuple[str, Callable[[Site], str]]] = {
    "ended among the dead": ("already-ended", lambda site: _bury(site, cancelled(site))),
    "for ever": ("late", lambda site: _schedule(site, pending(site), float("inf"))),
    "leased for very long": ("long-lease", lambda site: _held(site, site.now() * 2)),
    "count without a schedule": (
        "not-scheduled",
        lambda site: _count(site, _unschedule(site, pending(site))),
    ),
    "count of nobody": ("stray-count", lambda site: _count(site, f"{0:032x}/push:u1")),
    "count of a dead one": ("stray-count", lambda site: _count(site, dead(site))),
    "malformed dead": ("malformed", lambda site: _bury(site, f"nobody-{next(_numbers)}")),
    "no number": (
        "miscounted",
        lambda site: _with_field(site, pending(site), "open", "many").partition("/")[0],
    ),
    "no state": (
        "record-missing",
        lambda site: _without_field(site, member := pending(site), _route_id(member)),
    ),
    "no state of a dead one": (
        "vanished",
        lambda site: _without_field(site, member := dead(site), _route_id(member)),
    ),
    "unreadable, unscheduled": (
        "unreadable",
        lambda site: _unschedule(site, _unreadable(site)),
    ),
    "uncounted": ("totals", lambda site: _uncounted(site)),
}

#: What comes with another fault: totals that count it, a count of routes it is missing from, and
#: the right index, which lacks what stands in the wrong one.
BESIDE = {"totals", "miscounted", "not-scheduled"}


def _uncounted(site: Site) -> str:
    site.client.hincrby(site.keys.totals, "published", 2)
    return site.keys.totals


def in_no_channel(site: Site) -> str:
    """Plant a route of a channel that no daemon works on, scheduled nowhere."""
    made = member_of(site.notify()).partition("/")[0]
    key, state = site.keys.notification(made), bytearray(initial_state(None))
    state[2:28] = b"%013d" % site.now() * 2
    site.client.hset(key, "sms:user-7", bytes(state))
    site.client.hincrby(key, "open", 1)
    site.client.hincrby(site.keys.totals, "accepted", 1)
    return f"{made}/sms:user-7"
