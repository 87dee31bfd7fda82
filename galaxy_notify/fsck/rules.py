"""What is wrong with one route's places, and where it belongs. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from galaxy_notify.fsck.pages import HELD_BACK_MS
from galaxy_notify.fsck.routes import SeenRoute, Wanted
from galaxy_notify.model.route import PUBLISHABLE, Failure, Route, Status, newer_state
from galaxy_notify.model.wording import duration

# A score may be infinite.
_FOR_EVER_MS: Final = 10**13
_ON_TIME: Final = "scheduled for when it is due"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A fault: its code, what is wrong, what a repair does, and where the route then stands."""

    code: str
    what: str
    mends: str
    wanted: Wanted


def judge(seen: SeenRoute, actor: str) -> Verdict | None:
    """Return what is wrong with a route; None for nothing, or while a worker has it."""
    route, live = seen.route, _is_leased(seen)
    if newer_state(seen.state):
        return None
    if seen.is_home and route is not None and route.status in PUBLISHABLE:
        return _waiting(seen, route, actor, live=live)
    if live:
        return None
    if seen.name is None:
        what, mends = "not a valid route name", "removed and recorded as an orphan"
        return Verdict("malformed", what, mends, Wanted(reason="malformed"))
    if not seen.state:
        return _stateless(seen, actor)
    return _unreadable(seen, actor) if route is None else _resting(seen, route)


def _is_leased(seen: SeenRoute) -> bool:
    if seen.lease_ttl_ms is None or seen.score is None:
        return False
    return seen.now_ms < seen.score <= seen.now_ms + seen.lease_ttl_ms


def _stateless(seen: SeenRoute, actor: str) -> Verdict | None:
    if seen.score is None and seen.died is None:
        return _stray_count() if seen.count is not None else None
    if seen.record and seen.score is not None:
        return _record_missing(seen, actor, "its notification has no state for it")
    what = "an index lists it, but its notification is missing"
    if seen.record:
        what = "it is listed as a dead letter, but its notification has no state for it"
    mends = "removed, counted as purged, recorded as an orphan"
    return Verdict("vanished", what, mends, Wanted(reason="record_missing"))


def _stray_count() -> Verdict:
    what = "has an abandoned count, but is in no schedule"
    return Verdict("stray-count", what, "count removed", Wanted())


def _record_missing(seen: SeenRoute, actor: str, what: str) -> Verdict:
    return _bury(seen, actor, "record-missing", Failure("record_missing", what))


def _unreadable(seen: SeenRoute, actor: str) -> Verdict | None:
    if seen.score is None and seen.died is not None:
        return None  # it rests where an operator sees it
    failure = Failure("record_corrupt", "its state cannot be read")
    return _bury(seen, actor, "unreadable", failure)


def _bury(seen: SeenRoute, actor: str, code: str, failure: Failure) -> Verdict:
    route = seen.route or Route(Status.PENDING, due_at_ms=seen.now_ms, at_ms=seen.now_ms)
    state = route.dead_lettered(actor, failure, attempt=False)
    wanted = Wanted(f"dead:{_home(seen)}", state=state)
    return Verdict(code, failure.message, f"dead-lettered as {failure.failure_class}", wanted)


def _waiting(seen: SeenRoute, route: Route, actor: str, *, live: bool) -> Verdict | None:
    on_time = Wanted(f"schedule:{seen.channel}", route.due_at_ms)
    if not seen.record and not live:
        return _record_missing(seen, actor, "its notification has no record")
    if seen.score is None:
        what = f"{route.status}, but in no schedule"
        return Verdict("not-scheduled", what, _ON_TIME, on_time)
    if seen.lease_ttl_ms is None:
        found = _untimely(seen.score, route.due_at_ms, seen.now_ms, on_time)
    else:
        found = _wrong_lease(seen.score, seen.now_ms, seen.lease_ttl_ms, on_time)
    if found is None and seen.died is not None:
        what = f"{route.status}, but also listed as a dead letter"
        stay = Wanted(on_time.target, seen.score, keep_count=True)
        found = Verdict("not-dead", what, "removed from the dead letters", stay)
    return found


def _untimely(score: float, due: int, now_ms: int, on_time: Wanted) -> Verdict | None:
    if score < due:
        what = f"scheduled {_distance(due, score)} before it is due"
        return Verdict("early", what, _ON_TIME, on_time)
    if score > max(due, now_ms + HELD_BACK_MS):
        what = f"scheduled {_distance(score, due)} after it is due"
        return Verdict("late", what, _ON_TIME, on_time)
    return None


def _wrong_lease(score: float, now_ms: int, ttl: int, on_time: Wanted) -> Verdict | None:
    if score <= now_ms + ttl:
        return None
    what = f"leased for another {_distance(score, now_ms)}, longer than the maximum lease"
    return Verdict("long-lease", what, "made due", on_time._replace(score=None, keep_count=True))


def _resting(seen: SeenRoute, route: Route) -> Verdict | None:
    dead, home = route.status is Status.DEAD_LETTER, seen.is_home
    if seen.score is None and seen.died is None and not (dead and home):
        return _stray_count() if seen.count is not None else None
    if dead and home:
        return _dead(seen, route)
    if dead or route.status in PUBLISHABLE:
        index = f"{'dead' if dead else 'schedule'}:{_home(seen)}"
        wanted = Wanted(index, route.at_ms if dead else route.due_at_ms)
        what = f"{route.status} of channel {_home(seen)}, but an index of {seen.channel} has it"
        return Verdict("wrong-channel", what, "moved to the index of its channel", wanted)
    where = f"the schedule of {seen.channel}" if seen.score is not None else "the dead letters"
    what = f"{route.status}, but {where} still has it"
    return Verdict("already-ended", what, "removed", Wanted())


def _dead(seen: SeenRoute, route: Route) -> Verdict | None:
    wanted = Wanted(f"dead:{seen.channel}", route.at_ms)
    if seen.died is None:
        return Verdict("not-listed", "a dead letter in no index", "listed", wanted)
    if seen.score is not None:
        what, mends = "a dead letter that is also scheduled", "removed from the schedule"
        return Verdict("scheduled-dead", what, mends, wanted)
    if seen.count is not None:
        what = "a dead letter with an abandoned count"
        return Verdict("stray-count", what, "count removed", wanted)
    if seen.died != route.at_ms:
        what = "listed as a dead letter with another time than in its state"
        return Verdict("wrong-time", what, "listed at its time", wanted)
    return None


def _distance(later: float, earlier: float) -> str:
    return duration(max(-_FOR_EVER_MS, min(later - earlier, _FOR_EVER_MS)))


def _home(seen: SeenRoute) -> str:
    return seen.name.channel if seen.name else seen.channel
