"""One busy call of each script, prepared to the point where it only has to be sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from galaxy_notify.fsck.notifications import fsck_recount, fsck_totals
from galaxy_notify.fsck.pages import fsck_scan_index, fsck_scan_notifications
from galaxy_notify.fsck.routes import fsck_repair
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state import calls, dead_rows, leases
from galaxy_notify.redis_state.accept_calls import intent_accept
from galaxy_notify.redis_state.leases import Correction
from galaxy_notify.redis_state.publish_call import route_publish
from galaxy_notify.redis_state.settlement import Drop, Settlement
from tests.scripts.support import endings, handed_in, user_scenarios
from tests.scripts.support.faults import counted, faults_of
from tests.scripts.support.feed_scenarios import FEED
from tests.scripts.support.outcomes import OUTCOMES, outcome, publishing
from tests.scripts.support.seeds import SEEDS, abandon
from tests.scripts.support.shard import (
    KEEP,
    LIMITS,
    MINE,
    NOW,
    TERMS,
    TTL,
    Shard,
    new,
    ruled,
    split,
)
from tests.scripts.support.stream_scenarios import STREAMS

_ROUTES = ("email:u1", "push:u1", "push:u2")


def _accept(shard: Shard) -> ScriptCall:
    """New, due later in two channels, known, in conflict, cancelled before, born cancelled.

    And in groups: skipped beside deferred ones, skipped as a whole, cancelled before and skipped.
    """
    shard.accept(1)
    for number in (2, 8):
        shard.run(calls.route_cancel(shard.keys, f"{number:032x}", (), keep_ms=KEEP, mark=True))
    items = [
        new(1),
        new(1)._replace(record=b"1another!\x90"),
        new(2, ("push:u1", "push:u2")),
        new(3, _ROUTES, due=NOW + 5_000),
        new(4, _ROUTES),
        new(5, born_cancelled=True),
        ruled(6, (("push:u1",), None, ""), (("push:u2",), NOW + 9, ""), (("push:u3",), 0, "quiet")),
        ruled(7, (_ROUTES, None, "cooldown")),
        ruled(8, (("push:u1",), None, ""), (("push:u2",), None, "cooldown")),
    ]
    shard.journal |= {f"{item.notification_id}/{r}" for item in items for r in item.routes}
    return intent_accept(shard.keys, items)


def _claim(shard: Shard) -> ScriptCall:
    """Fresh routes, abandoned ones, a suspect, one whose notification has vanished."""
    shard.accept(1)
    abandon(shard, 2)
    shard.accept(2)
    SEEDS["lapsed"](shard, 3)
    shard.accept(4, "push:u1", "push:u2")
    shard.client.delete(shard.keys.notification(f"{2:032x}"))
    shard.now += 1000
    return leases.route_claim(shard.keys, "push", MINE, LIMITS, alone=False, now=shard.now)


def _claim_again(shard: Shard) -> ScriptCall:
    """The answer of a claim was lost."""
    call = _claim(shard)
    shard.run(call)
    return call


def _claim_again_fewer(shard: Shard) -> ScriptCall:
    """The answer of a claim was lost, and the next is to be a smaller one."""
    shard.run(_claim(shard))
    few = replace(LIMITS, members=2)
    return leases.route_claim(shard.keys, "push", MINE, few, alone=False, now=shard.now)


def _publish(shard: Shard) -> ScriptCall:
    """Sole routes and groups, and beside them whatever is left to a claim."""
    for number in range(1, 4):
        shard.accept(number)
    shard.accept(4, "push:u1", "push:u2", "push:u3", "email:u1")
    (again,) = shard.accept(5)
    shard.run(shard.rescheduling(again, due=NOW))
    dead = SEEDS["dead_letter"](shard, 6)
    shard.run(dead_rows.route_replay(shard.keys, [shard.dead_change(dead, "replay")]))
    SEEDS["failed"](shard, 7)
    wrong, vanished, ended, half = (shard.accept(number)[0] for number in (8, 9, 10, 11))
    shard.client.delete(shard.hash_of(wrong), shard.hash_of(vanished))
    shard.client.set(shard.hash_of(wrong), "x")
    shard.client.hset(shard.hash_of(half), "record", b"1garbled")
    shard.cancel(ended)
    shard.client.zadd(shard.keys.schedule("push"), {ended: NOW})
    shard.client.hset(shard.keys.abandoned("push"), mapping={shard.accept(12)[0]: 1})
    shard.now += 60_000
    return route_publish(shard.keys, "push", LIMITS, TERMS, shard.now)


def _settle(shard: Shard) -> ScriptCall:
    """Every outcome, groups of routes, one too late, one stale, one whose hash has vanished."""
    members = [shard.accept(number)[0] for number in range(1, 7)]
    group_of = shard.accept(7, "push:u1", "push:u2", "push:u3")
    late, stale, gone = (shard.accept(number)[0] for number in (8, 9, 10))
    shard.client.delete(shard.hash_of(members[-1]))
    assert len(shard.claim().members) == 12
    shard.lease(stale, f"host-3-aaaa:0:{TTL}:1", NOW + TTL)
    settlement = Settlement()
    for word, member in zip(OUTCOMES, members, strict=True):
        if word == "drop":
            settlement.add(Drop(member.encode(), "record_missing"))
        else:
            outcome(shard, word, member, settlement)
    publishing(shard, *group_of[:2], settlement=settlement)
    publishing(shard, late, expires=NOW, settlement=settlement)
    publishing(shard, stale, gone, settlement=settlement)
    shard.client.delete(shard.hash_of(gone))
    outcome(shard, "release", group_of[2], settlement)
    return settlement.call(shard.keys, "push", MINE)


def _reposition(shard: Shard) -> ScriptCall:
    """A dead letter, a route of another channel, one not due yet, a stale one."""
    dead = SEEDS["dead_letter"](shard, 1)
    (elsewhere,) = shard.accept(2, "email:u1")
    (early,) = shard.accept(3, due=NOW + 9_000)
    schedule = shard.keys.schedule("push")
    shard.client.zrem(shard.keys.schedule("email"), elsewhere)
    shard.client.zadd(schedule, {dead: NOW, elsewhere: NOW, early: NOW})
    assert len(shard.claim().members) == 3
    items = [
        Correction(dead.encode(), "dead:push", NOW),
        Correction(elsewhere.encode(), "schedule:email", NOW),
        Correction(early.encode(), "schedule:push", NOW + 9_000),
        Correction(b"nobody/push:u1", "dead:push", NOW),
    ]
    return leases.route_reposition(shard.keys, "push", MINE, items)


def _cancel(shard: Shard) -> ScriptCall:
    """A leased route, one that waits, and the mark."""
    members = shard.accept(1, *_ROUTES[1:])
    assert shard.claim(limits=LIMITS).members
    return shard.cancelling(*members, mark=True)


def _reschedule(shard: Shard) -> ScriptCall:
    """A leased route, one that waits, one of another channel, one that failed, and the mark."""
    members = shard.accept(1, *_ROUTES)
    assert len(shard.claim().members) == 2
    (failing,) = (m for m in members if m.endswith("push:u2"))
    shard.settle(outcome(shard, "retry", failing))
    return shard.rescheduling(*members, due=NOW + 9_000, mark=True)


def _replay(shard: Shard) -> ScriptCall:
    """Two dead letters and one that is none any more."""
    members = [SEEDS["dead_letter"](shard, number) for number in (1, 2)]
    changes = [shard.dead_change(member, "replay") for member in members]
    gone = changes[0]._replace(notification_id=split(f"{9:032x}/")[0])
    return dead_rows.route_replay(shard.keys, [*changes, gone])


def _purge(shard: Shard) -> ScriptCall:
    """Two dead letters and one that is none any more."""
    members = [SEEDS["dead_letter"](shard, number) for number in (1, 2)]
    changes = [shard.dead_change(member, "purge") for member in members]
    return dead_rows.route_purge(
        shard.keys, [*changes, changes[0]._replace(notification_id="gone")], KEEP
    )


def _pause(shard: Shard) -> ScriptCall:
    return calls.channel_pause(shard.keys, "push")


def _resume(shard: Shard) -> ScriptCall:
    shard.run(_pause(shard))
    return calls.channel_resume(shard.keys, "push")


def _shorten(shard: Shard) -> ScriptCall:
    """Two leases held too long, one that is not, one that holds nothing."""
    for number in range(1, 5):
        shard.accept(number)
        assert shard.claim(f"host-1-abcd:{number}:{TTL}:1").members
    first, second, _, gone = shard.schedule()
    shard.lease(first, f"host-1-abcd:1:{TTL}:1", NOW + 10**9)
    shard.lease(second, f"host-1-abcd:2:{TTL}:1", NOW + 2 * 10**9)
    shard.cancel(gone)
    return calls.lease_shorten(shard.keys, "push")


def _repair(shard: Shard) -> ScriptCall:
    """A route of each kind in a wrong place, one without a record, one that moved meanwhile."""
    early, held, listed = (shard.accept(number, due=NOW + 9_000)[0] for number in (1, 2, 3))
    ended, dead = SEEDS["cancelled"](shard, 4), SEEDS["dead_letter"](shard, 5)
    (elsewhere,) = shard.accept(6, "email:u1")
    (unread,) = shard.accept(7)
    moved = shard.accept(8)[0]
    shard.client.hdel(shard.hash_of(unread), "record")
    shard.client.zrem(shard.keys.schedule("email"), elsewhere)
    shard.client.zrem(shard.keys.dead("push"), dead)
    scores = {early: NOW, held: NOW + 10**9, ended: NOW, dead: NOW, elsewhere: NOW}
    shard.client.zadd(shard.keys.schedule("push"), scores)
    shard.lease(held, MINE, NOW + 10**9)
    shard.client.hset(shard.keys.abandoned("push"), mapping={held: 1})
    shard.client.zadd(shard.keys.dead("push"), {listed: NOW})
    items = faults_of(shard, early, held, listed, ended, dead, elsewhere, unread)
    items += [(replace(items[0][0], member=moved.encode()), items[0][1])]
    return fsck_repair(shard.keys, items, fix=True)


def _recount(shard: Shard) -> ScriptCall:
    """One that counts too many, one that would expire, one that never would, one that moved."""
    many, endless, fine = (shard.accept(number)[0] for number in (1, 3, 4))
    shard.client.hset(shard.hash_of(many), "open", 5)
    shard.cancel(endless)
    shard.client.persist(shard.hash_of(endless))
    names = [split(member)[0] for member in (many, endless, fine)]
    return fsck_recount(shard.keys, counted(shard, *names), KEEP, fix=True)


def _totals(shard: Shard) -> ScriptCall:
    """More were accepted than are there."""
    shard.accept(1)
    shard.client.hincrby(shard.keys.totals, "accepted", 2)
    return fsck_totals(shard.keys, ("push", "email"), 2)


def _scan_index(shard: Shard) -> ScriptCall:
    """Routes that are where they should be, leased, a retry, one that has vanished."""
    shard.accept(1, *_ROUTES[1:])
    SEEDS["failed"](shard, 2)
    SEEDS["leased"](shard, 3)
    shard.accept(4)
    shard.client.delete(shard.keys.notification(f"{4:032x}"))
    return fsck_scan_index(shard.keys, "schedule", "push", "0")


def _scan_notifications(shard: Shard) -> ScriptCall:
    """Notifications that count rightly, one that does not, one left of the page before."""
    shard.accept(1, *_ROUTES)
    SEEDS["cancelled"](shard, 2)
    SEEDS["dead_letter"](shard, 3)
    return fsck_scan_notifications(shard.keys, "0", [f"{1:032x}".encode()])


#: Name → what brings a shard to where the call is sent. The part before the space is the script.
SCENARIOS: dict[str, Callable[[Shard], ScriptCall]] = {
    "intent_accept": _accept,
    "route_claim": _claim,
    "route_claim again": _claim_again,
    "route_claim again, fewer": _claim_again_fewer,
    "route_claim at most once": endings.claiming_once,
    "route_publish": _publish,
    "route_settle": _settle,
    "route_end": endings.ending_all,
    "rate_take": endings.taking,
    "route_reposition": _reposition,
    "route_cancel": _cancel,
    "route_reschedule": _reschedule,
    "route_replay": _replay,
    "route_purge": _purge,
    "channel_pause": _pause,
    "channel_resume": _resume,
    "lease_shorten": _shorten,
    "fsck_scan_index": _scan_index,
    "fsck_scan_notifications": _scan_notifications,
    "fsck_repair": _repair,
    "fsck_recount": _recount,
    "fsck_totals": _totals,
    "preference_query": user_scenarios.querying,
    "cooldown_reserve": user_scenarios.reserving,
    "edge_fire": user_scenarios.firing,
    "collapse_record": user_scenarios.collapsing,
    "preference_set": user_scenarios.setting,
    "preference_read": user_scenarios.reading,
    "contact_change": user_scenarios.changing_contacts,
    "attempt_record": user_scenarios.recording_attempts,
    "user_deliver": user_scenarios.delivering,
    "recent_read": user_scenarios.reading_recent,
    "presence_attend": user_scenarios.attending,
    "unread_mark": user_scenarios.marking,
    **STREAMS,
    **FEED,
    "intake_ack": handed_in.acknowledging,
    "intake_reject": handed_in.rejecting,
    "intake_resubmit": handed_in.resubmitting,
    "consumer_forget": handed_in.forgetting,
}
