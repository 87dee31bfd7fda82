"""Faults for fsck to find: each plants one kind into a sound deployment and names its subject."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from galaxy_notify.model.route import Failure, decode_route, initial_state
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import leases
from galaxy_notify.redis_state.settlement import Bury, Settlement
from tests.support.deployment import DeploymentFixture, member_of

LATER_MS = 3_600_000
_numbers = count()


def pending(deployment: DeploymentFixture, **fields: Any) -> str:
    """Accept a notification that is due in an hour, and return its member."""
    return member_of(deployment.notify(due_at=deployment.now() + LATER_MS, **fields))


def dead(deployment: DeploymentFixture) -> str:
    """Return a dead letter."""
    member = member_of(deployment.notify())
    (claimed,), token = _taken(deployment, member)
    settlement, state = Settlement(), decode_route(claimed.state)
    failure = Failure("payload_encoding_failed", "no such codec")
    settlement.add(Bury(claimed.member, state.dead_lettered("host-1-abcd", failure, attempt=True)))
    run_sync(deployment.client, settlement.call(deployment.keys, "push", token))
    return member


def _taken(
    deployment: DeploymentFixture, member: str
) -> tuple[Sequence[leases.ClaimedMember], str]:
    """Take one member under a lease, and no other."""
    token = f"host-1-abcd:8:30000:{next(_numbers)}"
    deployment.client.zadd(deployment.keys.schedule("push"), {member: 0})
    limits = leases.ClaimLimits(1, 30_000, 1, 300_000, 0)
    call = leases.route_claim(deployment.keys, "push", token, limits, alone=False, now=None)
    return leases.read_claim(run_sync(deployment.client, call), token).members, token


def cancelled(deployment: DeploymentFixture) -> str:
    """Return a route that was taken back."""
    member = pending(deployment)
    deployment.notifier.cancel(member.partition("/")[0])
    return member


def leased(deployment: DeploymentFixture) -> str:
    """Return a route under lease."""
    member = member_of(deployment.notify())
    assert _taken(deployment, member)[0]
    return member


def _schedule(
    deployment: DeploymentFixture, member: str, score: float, channel: str = "push"
) -> str:
    deployment.client.zadd(deployment.keys.schedule(channel), {member: score})
    return member


def _unschedule(deployment: DeploymentFixture, member: str) -> str:
    assert deployment.client.zrem(deployment.keys.schedule("push"), member)
    return member


def _bury(deployment: DeploymentFixture, member: str, at_ms: int = 1) -> str:
    deployment.client.zadd(deployment.keys.dead("push"), {member: at_ms})
    return member


def _count(deployment: DeploymentFixture, member: str) -> str:
    deployment.client.hset(deployment.keys.abandoned("push"), member, 1)
    return member


def _held(deployment: DeploymentFixture, lapses: float) -> str:
    member = leased(deployment)
    deployment.move_leases(lapses)
    return member


def _key(deployment: DeploymentFixture, member: str) -> str:
    return deployment.record(member)[0]


def _without_hash(deployment: DeploymentFixture, member: str) -> str:
    deployment.client.delete(_key(deployment, member))
    return member


def _without_field(deployment: DeploymentFixture, member: str, name: str) -> str:
    assert deployment.client.hdel(_key(deployment, member), name)
    return member


def _with_field(deployment: DeploymentFixture, member: str, name: str, value: str | bytes) -> str:
    deployment.client.hset(_key(deployment, member), name, value)
    return member


def _route_id(member: str) -> str:
    return member.partition("/")[2]


def _wrong_channel(deployment: DeploymentFixture) -> str:
    member = pending(deployment, channels=["email"]).replace("/push:", "/email:")
    deployment.client.zrem(deployment.keys.schedule("email"), member)
    return _schedule(deployment, member, deployment.now() + LATER_MS)


def _not_listed(deployment: DeploymentFixture) -> str:
    member = dead(deployment)
    deployment.client.zrem(deployment.keys.dead("push"), member)
    return member


def _unreadable(deployment: DeploymentFixture) -> str:
    member = pending(deployment)
    return _with_field(deployment, member, _route_id(member), b"\x00")


def _expires(deployment: DeploymentFixture) -> str:
    member = pending(deployment)
    deployment.client.pexpire(_key(deployment, member), LATER_MS)
    return member.partition("/")[0]


def _endless(deployment: DeploymentFixture) -> str:
    member = cancelled(deployment)
    deployment.client.persist(_key(deployment, member))
    return member.partition("/")[0]


def _totals(deployment: DeploymentFixture) -> str:
    deployment.client.hincrby(deployment.keys.totals, "accepted", 3)
    return deployment.keys.totals


def _malformed(deployment: DeploymentFixture) -> str:
    return _schedule(deployment, f"nobody-{next(_numbers)}", deployment.now())


def _miscounted(deployment: DeploymentFixture) -> str:
    return _with_field(deployment, pending(deployment), "open", "7").partition("/")[0]


#: The code of the finding → what plants it and returns its subject. All of them can be mended.
FAULTS: dict[str, Callable[[DeploymentFixture], str]] = {
    "already-ended": lambda deployment: _schedule(
        deployment, cancelled(deployment), deployment.now()
    ),
    "early": lambda deployment: _schedule(deployment, pending(deployment), deployment.now()),
    "endless": _endless,
    "expires": _expires,
    "late": lambda deployment: _schedule(
        deployment, pending(deployment), deployment.now() + 2 * LATER_MS
    ),
    "long-lease": lambda deployment: _held(deployment, deployment.now() + LATER_MS),
    "malformed": _malformed,
    "miscounted": _miscounted,
    "not-dead": lambda deployment: _bury(deployment, pending(deployment)),
    "not-listed": _not_listed,
    "not-scheduled": lambda deployment: _unschedule(deployment, pending(deployment)),
    "record-missing": lambda deployment: _without_field(deployment, pending(deployment), "record"),
    "scheduled-dead": lambda deployment: _schedule(deployment, dead(deployment), deployment.now()),
    "stray-count": lambda deployment: _count(deployment, cancelled(deployment)),
    "totals": _totals,
    "unreadable": _unreadable,
    "vanished": lambda deployment: _without_hash(deployment, pending(deployment)),
    "wrong-channel": _wrong_channel,
    "wrong-time": lambda deployment: _bury(deployment, dead(deployment)),
}

#: Further places of the same kinds: each names the code that it should be found by.
VARIANTS: dict[str, tuple[str, Callable[[DeploymentFixture], str]]] = {
    "ended among the dead": (
        "already-ended",
        lambda deployment: _bury(deployment, cancelled(deployment)),
    ),
    "for ever": (
        "late",
        lambda deployment: _schedule(deployment, pending(deployment), float("inf")),
    ),
    "leased for very long": (
        "long-lease",
        lambda deployment: _held(deployment, deployment.now() * 2),
    ),
    "count without a schedule": (
        "not-scheduled",
        lambda deployment: _count(deployment, _unschedule(deployment, pending(deployment))),
    ),
    "count of nobody": ("stray-count", lambda deployment: _count(deployment, f"{0:032x}/push:u1")),
    "count of a dead one": ("stray-count", lambda deployment: _count(deployment, dead(deployment))),
    "malformed dead": (
        "malformed",
        lambda deployment: _bury(deployment, f"nobody-{next(_numbers)}"),
    ),
    "no number": (
        "miscounted",
        lambda deployment: _with_field(deployment, pending(deployment), "open", "many").partition(
            "/"
        )[0],
    ),
    "no state": (
        "record-missing",
        lambda deployment: _without_field(
            deployment, member := pending(deployment), _route_id(member)
        ),
    ),
    "no state of a dead one": (
        "vanished",
        lambda deployment: _without_field(
            deployment, member := dead(deployment), _route_id(member)
        ),
    ),
    "unreadable, unscheduled": (
        "unreadable",
        lambda deployment: _unschedule(deployment, _unreadable(deployment)),
    ),
    "uncounted": ("totals", lambda deployment: _uncounted(deployment)),
}

#: What comes with another fault: totals that count it, a count of routes it is missing from, and
#: the right index, which lacks what stands in the wrong one.
BESIDE = {"totals", "miscounted", "not-scheduled"}


def _uncounted(deployment: DeploymentFixture) -> str:
    deployment.client.hincrby(deployment.keys.totals, "published", 2)
    return deployment.keys.totals


def in_no_channel(deployment: DeploymentFixture) -> str:
    """Plant a route of a channel that no daemon works on, scheduled nowhere."""
    made = member_of(deployment.notify()).partition("/")[0]
    key, state = deployment.keys.notification(made), bytearray(initial_state(None))
    state[2:28] = b"%013d" % deployment.now() * 2
    deployment.client.hset(key, "sms:user-7", bytes(state))
    deployment.client.hincrby(key, "open", 1)
    deployment.client.hincrby(deployment.keys.totals, "accepted", 1)
    return f"{made}/sms:user-7"
