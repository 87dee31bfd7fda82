"""What a shard should hold: plain dictionaries, written from the design, not from the scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from tests.properties.model.support.things import Asked, Notification, Outcome, Route

#: A route that was left behind so often is taken alone.
SUSPECT: Final = 2
CHANNELS: Final = ("email", "push")
#: How long a notification is kept when no route needs it: without a key, with one.
KEEPS: Final = (3_600_000, 86_400_000)
_WAITING: Final = ("pending", "failed")
_NEEDED: Final = (*_WAITING, "dead_letter")
_ENDS: Final = ("published", "cancelled", "expired", "purged")


class Model:
    """A shard; every method is told the time, changes what should change, and answers so."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.notifications: dict[str, Notification] = {}
        #: By token: channel, when it lapses, how long it may last.
        self.leases: dict[str, tuple[str, int, int]] = {}
        self.events: list[str] = []
        self.orphans: list[tuple[str, str]] = []
        self.totals: Counter[str] = Counter()
        self.paused: set[str] = set()

    # --- producers

    def accept(self, items: Iterable[Asked], now: int) -> list[str]:
        """Accept each, unless it is there."""
        return [self._accept(item, now) for item in items]

    def _accept(self, item: Asked, now: int) -> str:
        known = self.notifications.get(item.notification_id)
        if known is not None and known.routes:
            return "duplicate" if known.digest == item.digest else "conflict"
        marked = known is not None and known.cancelled
        made = known or Notification()
        made.digest, made.keep, made.expires = item.digest, item.keep, item.expires
        self.notifications[item.notification_id] = made
        due = max(now, item.due or now)
        for route in item.routes:
            member = f"{item.notification_id}/{route}"
            made.routes.append(member)
            self.routes[member] = Route("pending", due, now, scheduled=due)
            if marked or item.born_cancelled:
                self.end(member, "cancelled", now)
        if (marked or item.born_cancelled) and not marked:
            made.cancelled = True
            made.gone_at, made.kept = now + item.keep, item.keep
        self.totals["accepted"] += len(item.routes)
        return "accepted"

    def cancel(self, name: str, members: Iterable[str], now: int, *, keep: int, mark: bool) -> None:
        """Take routes back, whoever has them under lease."""
        if mark:
            made = self.notifications.setdefault(name, Notification())
            made.cancelled = True
            if not made.routes:
                made.gone_at, made.kept = now + keep, keep
        for member in (taken := list(members)):
            self.end(member, "cancelled", now)
        if taken:
            self.release_record(name, keep, now)

    # --- workers

    def claim(self, channel: str, token: str, now: int, *, alone: bool) -> list[str]:
        """Return whom a claim may take: all that are due, and fit to be taken so."""
        for other, (where, lapses, _) in list(self.leases.items()):
            if where == channel and lapses <= now and other != token:
                del self.leases[other]
                for route in self._under(other):
                    self.routes[route].lease = None
                    self.routes[route].left_behind += 1
                    self.totals["abandoned"] += 1
        due = self.due(channel, now)
        return [m for m in due if (self.routes[m].left_behind >= SUSPECT) == alone]

    def take(self, channel: str, token: str, members: Iterable[str], now: int, ttl: int) -> None:
        """Put members under a lease."""
        self.leases[token] = (channel, now + ttl, ttl)
        for member in members:
            route = self.routes[member]
            route.lease, route.scheduled = token, now + ttl

    def give_again(self, token: str, limit: int, now: int) -> list[str]:
        """Return what a token was given; what is too much now is due again."""
        given = sorted(self._under(token))
        for member in given[limit:]:
            route = self.routes[member]
            route.lease, route.scheduled = None, now
        return given[:limit]

    def settle(self, token: str, outcomes: Iterable[Outcome], now: int) -> list[str]:
        """End leases; only the holder of a member may."""
        words = [self._settle(token, outcome, now) for outcome in outcomes]
        changed = any(word not in ("stale", "expired unpublished") for word in words)
        if changed and not self._under(token):
            self.leases.pop(token, None)
        return ["expired" if word == "expired unpublished" else word for word in words]

    def _settle(self, token: str, outcome: Outcome, now: int) -> str:
        route = self.routes.get(outcome.member)
        if route is None or route.lease != token or token not in self.leases:
            return "stale"
        late = outcome.expires is not None and outcome.expires <= now
        if outcome.word == "publish" and late:
            return "expired unpublished"
        name = outcome.member.partition("/")[0]
        if outcome.word == "release":
            self._schedule(route, now + outcome.delay)
            return "released"
        if outcome.word == "drop" or name not in self.notifications:
            return self._orphan(outcome)
        return self._change(route, outcome, now)

    def _change(self, route: Route, outcome: Outcome, now: int) -> str:
        name = outcome.member.partition("/")[0]
        if outcome.word == "retry":
            route.status, route.at, route.due = "failed", now, now + outcome.delay
            route.attempts += 1
            self._schedule(route, route.due)
            self.totals["retried"] += 1
            return "retried"
        if outcome.word == "bury":
            route.status, route.at, route.died = "dead_letter", now, now
            route.attempts += outcome.attempt
            self._schedule(route, None)
            self.totals["dead_lettered"] += 1
            return "buried"
        if outcome.word == "publish":
            suffix = f"#{route.generation}" if route.generation > 1 else ""
            self.events.append(outcome.member + suffix)
        word = "published" if outcome.word == "publish" else "expired"
        self.end(outcome.member, word, now)
        self.release_record(name, outcome.keep, now)
        return word

    def _orphan(self, outcome: Outcome) -> str:
        self.orphans.append((outcome.member, "record_missing"))
        del self.routes[outcome.member]
        self.totals["orphaned"] += 1
        self.totals["purged"] += 1
        self.totals["undone"] += outcome.word == "publish"
        return "dropped" if outcome.word == "drop" else "missing"

    def heal(self, token: str, member: str) -> str:
        """Put a member where its status says."""
        route = self.routes.get(member)
        if route is None or route.lease != token or token not in self.leases:
            return "stale"
        self._schedule(route, None if route.status == "dead_letter" else route.due)
        return "repositioned"

    def healed(self, token: str) -> None:
        """End a lease that holds nothing after a heal."""
        if not self._under(token):
            self.leases.pop(token, None)

    # --- operators and the janitor

    def replay(self, member: str, now: int) -> str:
        """Send a dead letter on its way again."""
        route = self.routes.get(member)
        if route is None or route.died is None:
            return "gone"
        route.status, route.at, route.due = "pending", now, now
        route.generation, route.attempts, route.died = route.generation + 1, 0, None
        self._schedule(route, now)
        self.totals["replayed"] += 1
        return "replayed"

    def purge(self, member: str, keep: int, now: int) -> str:
        """Give a dead letter up."""
        route = self.routes.get(member)
        if route is None or route.died is None:
            return "gone"
        self.end(member, "purged", now)
        self.release_record(member.partition("/")[0], keep, now)
        return "purged"

    def lapse(self, channel: str, now: int) -> list[str]:
        """Shorten leases that last longer than they may, and return their tokens."""
        shortened = []
        for token, (where, lapses, ttl) in self.leases.items():
            if where == channel and lapses > now + ttl:
                self.move_lease(token, now + ttl)
                shortened.append(token)
        return shortened

    def move_lease(self, token: str, lapses: int) -> None:
        """Have a lease lapse at another time."""
        channel, _, ttl = self.leases[token]
        self.leases[token] = (channel, lapses, ttl)
        for member in self._under(token):
            self.routes[member].scheduled = lapses

    def forget(self, now: int) -> list[str]:
        """Forget the notifications that expired by now, and return their names."""
        gone = [
            name
            for name, made in self.notifications.items()
            if made.gone_at is not None and made.gone_at <= now
        ]
        for name in gone:
            for member in self.notifications.pop(name).routes:
                del self.routes[member]
        return gone

    def vanish(self, name: str) -> None:
        """Lose a notification's hash, as damage does; its indexes still name it."""
        for member in self.notifications.pop(name).routes:
            if self.routes[member].scheduled is None:
                del self.routes[member]

    # --- what holds

    def due(self, channel: str, now: int) -> list[str]:
        """Return the members that a channel's schedule has for now or earlier."""
        return [m for m, at in self.schedule(channel).items() if at <= now]

    def schedule(self, channel: str) -> dict[str, int]:
        """Return the schedule of a channel."""
        return {
            m: r.scheduled
            for m, r in self.routes.items()
            if r.scheduled is not None and _channel(m) == channel
        }

    def view(self) -> dict[str, Any]:
        """Return all of it, to be compared."""
        return {
            "notifications": {name: self._seen(made) for name, made in self.notifications.items()},
            "schedule": {c: self.schedule(c) for c in CHANNELS},
            "dead": self._by_channel(lambda route: route.died),
            "leased": self._by_channel(lambda route: route.lease),
            "left_behind": self._by_channel(lambda route: route.left_behind or None),
            "leases": {t: lapses for t, (_, lapses, _) in self.leases.items()},
            "events": self.events,
            "orphans": self.orphans,
            "totals": {name: count for name, count in self.totals.items() if count},
            "paused": self.paused,
        }

    def assert_conserved(self) -> None:
        """Assert that what was accepted is scheduled, dead or ended."""
        here = sum(r.scheduled is not None or r.died is not None for r in self.routes.values())
        assert self.totals["accepted"] == here + sum(self.totals[end] for end in _ENDS)

    def _by_channel(self, value: Any) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {channel: {} for channel in CHANNELS}
        for member, route in self.routes.items():
            if value(route) is not None:
                found[_channel(member)][member] = value(route)
        return found

    def _seen(self, made: Notification) -> dict[str, Any]:
        routes = {member: self.routes[member] for member in made.routes}
        return {
            "open": sum(r.status in _NEEDED for r in routes.values()) if routes else None,
            "cancelled": made.cancelled,
            "kept": made.kept,
            "routes": {
                m: (r.status, r.generation, r.attempts, r.due, r.at) for m, r in routes.items()
            },
        }

    def _under(self, token: str) -> list[str]:
        return [member for member, route in self.routes.items() if route.lease == token]

    def _schedule(self, route: Route, at: int | None) -> None:
        route.scheduled, route.lease, route.left_behind = at, None, 0

    def end(self, member: str, status: str, now: int) -> None:
        """Have a route end so."""
        route = self.routes[member]
        route.status, route.at, route.died = status, now, None
        self._schedule(route, None)
        self.totals[status] += 1

    def release_record(self, name: str, keep: int, now: int) -> None:
        """Let a notification expire once no route needs it."""
        made = self.notifications[name]
        statuses = [self.routes[member].status for member in made.routes]
        if statuses and not any(status in _NEEDED for status in statuses):
            made.gone_at, made.kept = now + keep, keep


def _channel(member: str) -> str:
    return member.partition("/")[2].partition(":")[0]
