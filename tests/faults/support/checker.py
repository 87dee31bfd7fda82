"""Holds what a deployment came to against what was promised.

I1: what was accepted is there, published, dead, taken back or waiting. I2 to I9 are checked over
the history, and here once more over what is left. I4: what is published is what was accepted. I14:
indexes and states agree.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgpack

from galaxy_notify.model.ids import event_id
from galaxy_notify.model.route import PUBLISHABLE, Route, Status
from tests.faults.support.history import History, Violation
from tests.faults.support.journal import Journal, Promise
from tests.support.deployment import DeploymentFixture

#: What a payload repeats of its intent.
_TOLD = ("type", "producer", "title", "body", "data")


@dataclass
class Rest:
    """What a deployment holds when nothing moves."""

    routes: dict[str, Route]
    entries: list[dict[str, bytes]]
    scheduled: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, deployment: DeploymentFixture) -> Rest:
        """Read it from its server."""
        channels = deployment.key_space.shared.channels
        scheduled = {member for channel in channels for member in deployment.due(channel)}
        dead = {member for channel in channels for member in deployment.dead(channel)}
        return cls(deployment.routes(), deployment.entries(), scheduled, dead)


@dataclass
class Report:
    """What a run came to."""

    violations: list[Violation]
    accepted: int
    unknown: int
    unavailable: int
    statuses: dict[str, int]
    transitions: int
    abandoned: int
    slowest_ms: int
    slowest_takeover_ms: int

    def count(self, invariant: str) -> int:
        """Return how many violations there are of one invariant."""
        return sum(one.invariant == invariant for one in self.violations)

    def __str__(self) -> str:
        """Say it in one line."""
        found = ", ".join(f"{number} {status}" for status, number in sorted(self.statuses.items()))
        return (
            f"{self.accepted} routes accepted, {self.unknown} unanswered "
            f"({self.unavailable} calls); {found}; "
            f"lost {self.count('I1')}, twice {self.count('I2')}, early {self.count('I3')}; "
            f"{self.transitions} transitions, {self.abandoned} abandoned, "
            f"taken over {self.slowest_takeover_ms} ms and published {self.slowest_ms} ms "
            f"after they were free at the latest"
        )


def check(journal: Journal, rest: Rest, history: History | None = None) -> Report:
    """Compare; a history of the server shows what is not to be seen any more."""
    judge = _Judge(rest)
    for promise in journal.promises.values():
        judge.promise(promise)
    judge.replayed(journal.replayed)
    judge.stream(journal)
    judge.indexes()
    history = history or History()
    accepted = journal.routes
    return Report(
        violations=[*history.violations, *judge.violations],
        accepted=accepted,
        unknown=sum(len(one.members) for one in journal.promises.values()) - accepted,
        unavailable=journal.unavailable,
        statuses=Counter(str(route.status) for route in rest.routes.values()),
        transitions=history.transitions,
        abandoned=history.abandoned,
        slowest_ms=history.slowest_ms,
        slowest_takeover_ms=history.slowest_takeover_ms,
    )


class _Judge:
    def __init__(self, rest: Rest) -> None:
        self.violations: list[Violation] = []
        self._rest = rest
        self._entries = {entry["event_id"].decode(): entry for entry in rest.entries}

    def promise(self, promise: Promise) -> None:
        for member in promise.members:
            route = self._rest.routes.get(member)
            if route is None:
                if promise.is_accepted:
                    self._broken("I1", member, "it was accepted and is nowhere")
                continue
            self._cancel(promise, member, route)
            due = promise.intent.get("due_at", 0)
            if route.due_at_ms < due and route.generation == 1 and not route.attempts:
                self._broken("I3", member, f"due {due - route.due_at_ms} ms before it was asked")
            if route.status is Status.PUBLISHED:
                self._published(promise, member, route)

    def replayed(self, members: set[str]) -> None:
        for member in members:
            route = self._rest.routes.get(member)
            if route is None or route.generation < 2:
                self._broken("I8", member, "an operator was told that it was replayed")

    def stream(self, journal: Journal) -> None:
        """Look for events that stand twice, that nobody asked for, or that no state knows."""
        if len(self._entries) != len(self._rest.entries):
            doubled = Counter(entry["event_id"] for entry in self._rest.entries)
            for twice, number in doubled.items():
                if number > 1:
                    self._broken("I2", twice.decode(), f"it is in the stream {number} times")
        for event in self._entries:
            member = event.partition("#")[0]
            if member.partition("/")[0] not in journal.promises:
                self._broken("I2", event, "nobody handed it in")
            elif member not in self._rest.routes:
                self._broken("I2", event, "it is in the stream and has no state")

    def indexes(self) -> None:
        """Compare schedule and dead letters with the states."""
        for member in self._rest.scheduled | self._rest.dead | self._rest.routes.keys():
            route = self._rest.routes.get(member)
            status = route.status if route else None
            if (member in self._rest.scheduled) != (status in PUBLISHABLE):
                self._broken("I14", member, f"{status}, scheduled or not")
            if (member in self._rest.dead) != (status is Status.DEAD_LETTER):
                self._broken("I14", member, f"{status}, among the dead or not")

    def _cancel(self, promise: Promise, member: str, route: Route) -> None:
        if promise.cancelled == len(promise.members) and route.status is not Status.CANCELLED:
            self._broken("I1", member, f"its cancel was answered, and it is {route.status}")
        if route.status is Status.CANCELLED and not promise.is_cancel_asked:
            self._broken("I1", member, "nobody asked for its cancel")

    def _published(self, promise: Promise, member: str, route: Route) -> None:
        event = event_id(member, route.generation)
        entry = self._entries.get(event)
        if entry is None:
            self._broken("I2", event, "it is published and not in the stream")
            return
        if entry["stream_id"].decode() != route.stream_id:
            self._broken("I2", event, f"its state names another entry, {route.stream_id}")
        if int(entry["stream_id"].partition(b"-")[0]) < max(
            route.due_at_ms, promise.intent.get("due_at", 0)
        ):
            self._broken("I3", event, "it is in the stream before it was due")
        told: dict[str, Any] = msgpack.unpackb(entry["payload_bytes"])
        for name in _TOLD:
            if told.get(name) != promise.intent.get(name):
                self._broken("I4", event, f"its {name} is not what was accepted")

    def _broken(self, invariant: str, subject: str, what: str) -> None:
        self.violations.append(Violation(invariant, subject, what))
