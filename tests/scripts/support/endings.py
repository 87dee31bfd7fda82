"""What becomes of routes of an external channel, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from galaxy_notify.model.route import Failure
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.delivery_outcomes import (
    Deliver,
    DeliveryOutcome,
    GiveUp,
    Skip,
    read_ended,
    route_end,
)
from galaxy_notify.redis_state.leases import route_claim
from galaxy_notify.redis_state.rate import rate_take
from galaxy_notify.redis_state.settlement import Drop, Expire, Release, RetryLater
from tests.scripts.support.outcomes import route_or_new
from tests.scripts.support.shard import KEEP, LIMITS, MINE, NOW, TTL, WORKER, Shard

ENDINGS = ("deliver", "skip", "expire", "retry", "bury", "release", "drop")
DONE = ("c-1", "c-2")
REFUSED = Failure("delivery_refused", "the endpoint answered 410")


def ending(shard: Shard, word: str, member: str) -> DeliveryOutcome:
    """Return the named outcome of a member; a retry and a dead letter have addresses done."""
    route, raw = route_or_new(shard, member), member.encode()
    outcomes: dict[str, DeliveryOutcome] = {
        "deliver": Deliver(raw, route.delivered(WORKER), KEEP),
        "skip": Skip(raw, route.skipped(WORKER, "no_contact"), KEEP, "no_contact"),
        "expire": Expire(raw, route.expired(WORKER), KEEP),
        "retry": RetryLater(raw, route.failed(WORKER, REFUSED, DONE), 5_000),
        "bury": GiveUp(
            raw,
            route.dead_lettered(WORKER, REFUSED, attempt=True, done=DONE),
            REFUSED.failure_class,
        ),
        "release": Release(raw, 2_000),
        "drop": Drop(raw, "final"),
    }
    return outcomes[word]


def ending_call(
    shard: Shard, outcomes: Sequence[DeliveryOutcome], token: str = MINE, channel: str = "push"
) -> ScriptCall:
    """Return the call that records outcomes."""
    return route_end(shard.keys, channel, token, outcomes, shard.now)


def end(
    shard: Shard, *outcomes: DeliveryOutcome, token: str = MINE, channel: str = "push"
) -> list[Answer]:
    """Record outcomes; return the answers."""
    reply = shard.run(ending_call(shard, outcomes, token, channel))
    return read_ended(reply, len(outcomes)).answers


def deliveries(shard: Shard) -> list[dict[str, str]]:
    """Return the entries of the delivery stream."""
    rows: Any = shard.client.xrange(shard.keys.deliveries)
    return [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in rows]


def ending_all(shard: Shard) -> ScriptCall:
    """Every outcome, two routes of one notification, one stale, two whose hash has vanished."""
    members = [shard.accept(number)[0] for number in range(1, len(ENDINGS) + 1)]
    both = shard.accept(8, "push:u1", "push:u2")
    stale, gone = shard.accept(9)[0], shard.accept(10)[0]
    assert len(shard.claim().members) == 11
    shard.lease(stale, f"host-3-aaaa:0:{TTL}:1", NOW + TTL)
    *known, unusable = members
    items = [ending(shard, word, m) for word, m in zip(ENDINGS[:-1], known, strict=True)]
    items += [ending(shard, "deliver", member) for member in (*both, stale, gone)]
    items.append(Drop(unusable.encode(), "record_missing"))
    shard.client.delete(shard.hash_of(gone), shard.hash_of(unusable))
    return ending_call(shard, items)


def claiming_once(shard: Shard) -> ScriptCall:
    """Routes that may be sent once: one that was left behind, fresh ones."""
    shard.accept(1)
    assert shard.claim(f"host-2-ffff:0:{TTL}:1").members
    shard.now += TTL + 1
    shard.accept(2, "push:u1", "push:u2")
    once = replace(LIMITS, at_most_once=True)
    return route_claim(shard.keys, "push", MINE, once, alone=False, now=shard.now)


def taking(shard: Shard) -> ScriptCall:
    """Some were taken before; fewer are left than are wanted."""
    shard.run(rate_take(shard.keys, "push", 100_000, 5, 2, shard.now))
    return rate_take(shard.keys, "push", 100_000, 5, 4, shard.now)
