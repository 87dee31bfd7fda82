"""Routes in every state, each brought there by the scripts themselves."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_notify.redis_state import dead_rows
from tests.scripts.support.endings import end, ending
from tests.scripts.support.outcomes import outcome
from tests.scripts.support.shard import KEEP, TTL, Shard

OTHER = f"host-2-ffff:0:{TTL}:"


def _pending(shard: Shard, number: int) -> str:
    (member,) = shard.accept(number)
    return member


def _leased(shard: Shard, number: int) -> str:
    member = _pending(shard, number)
    assert shard.claim(f"{OTHER}{number}").members
    return member


def _settled(shard: Shard, number: int, word: str) -> str:
    member = _leased(shard, number)
    shard.settle(outcome(shard, word, member), f"{OTHER}{number}")
    return member


def _failed(shard: Shard, number: int) -> str:
    return _settled(shard, number, "retry")


def _published(shard: Shard, number: int) -> str:
    return _settled(shard, number, "publish")


def _ended(shard: Shard, number: int, word: str) -> str:
    member = _leased(shard, number)
    end(shard, ending(shard, word, member), token=f"{OTHER}{number}")
    return member


def _delivered(shard: Shard, number: int) -> str:
    return _ended(shard, number, "deliver")


def _not_sent(shard: Shard, number: int) -> str:
    return _ended(shard, number, "skip")


def _partly_done(shard: Shard, number: int) -> str:
    return _ended(shard, number, "retry")


def _dead_partly_done(shard: Shard, number: int) -> str:
    return _ended(shard, number, "bury")


def _dead(shard: Shard, number: int) -> str:
    return _settled(shard, number, "bury")


def _expired(shard: Shard, number: int) -> str:
    return _settled(shard, number, "expire")


def _cancelled(shard: Shard, number: int) -> str:
    member = _pending(shard, number)
    shard.cancel(member)
    return member


def _purged(shard: Shard, number: int) -> str:
    member = _dead(shard, number)
    shard.run(dead_rows.route_purge(shard.keys, [shard.dead_change(member, "purge")], KEEP))
    return member


def _replayed(shard: Shard, number: int) -> str:
    member = _dead(shard, number)
    shard.run(dead_rows.route_replay(shard.keys, [shard.dead_change(member, "replay")]))
    return member


def _lapsed(shard: Shard, number: int) -> str:
    member = _leased(shard, number)
    shard.lease(member, f"{OTHER}{number}", shard.now - 1)
    return member


def _vanished(shard: Shard, number: int) -> str:
    member = _pending(shard, number)
    shard.client.delete(shard.hash_of(member))
    shard.client.zrem(shard.keys.schedule("push"), member)
    return member


#: State → what brings route `push:u1` of a notification into it; nobody but `OTHER` has a lease.
SEEDS: dict[str, Callable[[Shard, int], str]] = {
    "pending": _pending,
    "leased": _leased,
    "lapsed": _lapsed,
    "failed": _failed,
    "published": _published,
    "delivered": _delivered,
    "skipped": _not_sent,
    "partly done": _partly_done,
    "dead letter, partly done": _dead_partly_done,
    "dead_letter": _dead,
    "replayed": _replayed,
    "expired": _expired,
    "cancelled": _cancelled,
    "purged": _purged,
    "vanished": _vanished,
}


def abandon(shard: Shard, times: int) -> None:
    """Have everything that is due claimed and left behind *times* over."""
    for _ in range(times):
        shard.claims += 1
        token = f"host-9-dead:0:{TTL}:{shard.claims}"
        assert shard.claim(token).members or shard.claim(token, alone=True).members
        for member in shard.leases():
            shard.lease(member, token, shard.now - 1)
