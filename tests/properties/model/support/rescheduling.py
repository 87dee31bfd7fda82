"""Producers that give what still waits another due time."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from galaxy_notify.redis_state import calls
from tests.properties.model.support.expected import Model
from tests.properties.model.support.machine import Producers
from tests.properties.model.support.observed import Observed
from tests.scripts.support.shard import TTL, split

_WAITING = ("pending", "failed")


def reschedule(model: Model, members: Iterable[str], due: int, now: int) -> None:
    """Move members on the schedule, whoever has them under lease; suspects stay suspects."""
    for member in members:
        route = model.routes[member]
        route.at, route.due, route.scheduled, route.lease = now, due, due, None


class Rescheduling(Producers):
    """They move some routes of a notification, or all; now and then what has changed meanwhile."""

    def reschedule(self, random: Random) -> None:
        """What is not in the stream yet is due at another time, leased or not."""
        names = sorted({split(m)[0] for m in self._waiting()} - self.vanished)
        if not names:
            return
        name = random.choice(names)
        members = [m for m in self._waiting() if split(m)[0] == name]
        members = random.sample(members, random.randint(1, len(members)))
        asked = self.now + random.choice((-5_000, 0, 400, 5_000, 2 * TTL))
        call = self.shard.rescheduling(*members, due=asked, mark=random.random() < 0.5)
        stale = random.random() < 0.2
        if stale:
            self.shard.run(call)
            reschedule(self.model, members, max(asked, self.now), self.now)
        told = calls.words(self.shard.run(call))
        assert told == ["changed" if stale else "moved"] * len(members)
        reschedule(self.model, members, max(asked, self.now), self.now)
        self._assert_told(members)

    def _assert_told(self, members: list[str]) -> None:
        observed = Observed(self.shard)
        for member in members:
            channel = split(member)[1].partition(":")[0]
            due, schedule = self.model.routes[member].due, self.model.schedule(channel)
            if due <= self.now or due <= min(schedule.values()):
                assert observed.indexes["wake", channel] == 1, "nobody was told"

    def _waiting(self) -> list[str]:
        routes = self.model.routes
        return sorted(
            m
            for m, route in routes.items()
            if route.status in _WAITING and split(m)[0] in self.model.notifications
        )
