"""The invariants that hold at every single transition, checked over the whole history.

I2: an event and its route's state come together, once for each generation. I3: none is early.
I5: only who holds the lease settles, and without a lease one script publishes what was never
attempted, claimed in vain or taken. I7: a dead letter tells why. I8: a replay is one new
generation. I9: only a failed attempt counts as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from pathlib import Path
from typing import NamedTuple

from galaxy_notify.model.ids import event_id
from galaxy_notify.model.route import (
    HISTORY_KEPT,
    TRANSITIONS,
    Route,
    Status,
    decode_route,
)
from galaxy_notify.model.route_body import MESSAGE_KEPT
from tests.faults.support.aof import Transition, read_transitions
from tests.faults.support.memory import Memory, pairs, scored

#: What only a worker does to a route, and only under its lease.
_SETTLED = {Status.PUBLISHED, Status.FAILED, Status.DEAD_LETTER, Status.EXPIRED}
_ATTEMPTS = {"payload_encoding_failed", "gateway_stream_publish_failed"}


class Violation(NamedTuple):
    """What must not be: which invariant, of what, and how it shows."""

    invariant: str
    subject: str
    what: str


class Step(NamedTuple):
    """What one transition did to one route, in which shard, and under which lease it was before."""

    member: str
    before: Route | None
    after: Route
    tag: bytes
    token: str


class History:
    """Reads transitions one by one, and remembers what they broke.

    Where nobody publishes without a lease, *needs_lease* has it noticed if somebody does.
    """

    def __init__(self, *, needs_lease: bool = True) -> None:
        self.violations: list[Violation] = []
        self.transitions = 0
        self.abandoned = 0
        #: How long the route that waited longest was due and under nobody's lease.
        self.slowest_ms = 0
        #: How long the lease of a dead worker had lapsed at most when another took over.
        self.slowest_takeover_ms = 0
        self.published: dict[str, str] = {}
        #: How many routes were published without a lease.
        self.unleased = 0
        self._free_since: dict[str, float] = {}
        self._memory = Memory()
        self._needs_lease = needs_lease

    def read(self, transitions: Iterable[Transition]) -> History:
        """Follow all of them."""
        for transition in transitions:
            self.follow(transition)
        return self

    def follow(self, transition: Transition) -> None:
        """Check one transition, then let it happen."""
        self.transitions += 1
        steps, added = self._steps(transition), _added(transition)
        dropped = _dropped(transition, b"}:leases:")
        for step in steps:
            self._allowed(step)
            if step.after.status in _SETTLED:
                if step.token or self._needs_lease or step.after.status is not Status.PUBLISHED:
                    self._leased(step, dropped)
                else:
                    self._unleased(step, _dropped(transition, b"}:schedule:"))
            if step.after.status is Status.PUBLISHED:
                self._published(step, added)
            if step.after.status is Status.DEAD_LETTER:
                self._dead(step)
        for stream_id, event in added.items():
            self._broken("I2", event, f"{stream_id} is in the stream without a published state")
        self._note_leases(transition)
        for command in transition:
            self._memory.apply(command)

    def _steps(self, transition: Transition) -> list[Step]:
        written: dict[tuple[bytes, bytes], bytes] = {}
        for command in transition:
            if command[0].upper() == b"HSET" and b"}:notification:" in command[1]:
                for field, value in pairs(command[2:]):
                    if b":" in field:
                        written[command[1], field] = value
        steps = []
        for (key, field), value in written.items():
            before = self._memory.hashes[key].get(field)
            if before != value:
                member = key.rpartition(b":")[2] + b"/" + field
                known = None if before is None else decode_route(before)
                tag = key.partition(b"notification:")[0]
                token = self._token(tag, member)
                steps.append(Step(member.decode(), known, decode_route(value), tag, token))
        return steps

    def _token(self, tag: bytes, member: bytes) -> str:
        """Return the token of the lease that a member is under."""
        channel = member.partition(b"/")[2].partition(b":")[0]
        score = self._memory.sets[tag + b"schedule:" + channel].of.get(member)
        leases = self._memory.sets[tag + b"leases:" + channel]
        held = [] if score is None else leases.at(score)
        return held[0].decode() if held else ""

    def _allowed(self, step: Step) -> None:
        before, after = step.before, step.after
        if after.status not in TRANSITIONS.get(before and before.status, frozenset()):
            self._broken("I2", step.member, f"{before and before.status} became {after.status}")
        if before is None:
            return
        replayed = before.status is Status.DEAD_LETTER and after.status is Status.PENDING
        if after.generation != before.generation + replayed:
            text = f"generation {before.generation} became {after.generation}"
            self._broken("I8", step.member, text)
        spent = after.attempts - before.attempts
        failure = after.failure.failure_class if after.failure else ""
        if not replayed and spent and (spent != 1 or failure not in _ATTEMPTS):
            self._broken(
                "I9", step.member, f"{spent} attempts were spent on {failure or 'nothing'}"
            )

    def _leased(self, step: Step, dropped: set[bytes]) -> None:
        worker = step.after.history[-1].worker if step.after.history else ""
        if not step.token:
            self._broken("I5", step.member, f"{worker} settled it without a lease")
        elif step.token.partition(":")[0] != worker:
            self._broken("I5", step.member, f"{worker} settled it under {step.token}")
        elif step.token.encode() not in dropped:
            self._broken("I5", step.member, f"the lease {step.token} outlived its settle")

    def _unleased(self, step: Step, unscheduled: set[bytes]) -> None:
        """Check what one script published: a plain route, off the schedule in the same step."""
        self.unleased += 1
        before, member = step.before, step.member.encode()
        channel = member.partition(b"/")[2].partition(b":")[0]
        if before is None or before.status is not Status.PENDING or before.attempts:
            self._broken("I5", step.member, "published without a lease, and not for the first time")
        if member in self._memory.hashes[step.tag + b"abandoned:" + channel]:
            self._broken("I5", step.member, "published without a lease after one was abandoned")
        if member not in unscheduled:
            self._broken("I14", step.member, "published without a lease, and still scheduled")

    def _published(self, step: Step, added: dict[str, str]) -> None:
        event, stream_id = event_id(step.member, step.after.generation), step.after.stream_id
        if added.pop(stream_id, None) != event:
            self._broken("I2", event, f"it is published without its entry {stream_id}")
            return
        if event in self.published:
            self._broken("I2", event, f"{self.published[event]} and again {stream_id}")
        self.published[event] = stream_id
        at, due = int(stream_id.partition("-")[0]), (step.before or step.after).due_at_ms
        if at < due:
            self._broken("I3", event, f"{due - at} ms early")
        free = self._free_since.pop(step.member, float(due))
        self.slowest_ms = max(self.slowest_ms, int(at - free))

    def _dead(self, step: Step) -> None:
        route, failure = step.after, step.after.failure
        known = failure and failure.failure_class and failure.at_ms and failure.worker
        message = failure.message if failure else ""
        if not known:
            self._broken("I7", step.member, "it does not tell when, why and by whom it died")
        elif len(message) > MESSAGE_KEPT or len(route.history) > HISTORY_KEPT:
            self._broken("I7", step.member, "its history is longer than is kept")

    def _note_leases(self, transition: Transition) -> None:
        """Note what new leases took, and whether it was free to be taken."""
        taken = self._new_leases(transition)
        for command in transition:
            if command[0].upper() == b"ZADD" and b"}:schedule:" in command[1]:
                scores = self._memory.sets[command[1]].of
                for score, member in scored(command):
                    if float(score) in taken and member in scores:
                        self._taken(member.decode(), scores[member], taken[float(score)])

    def _new_leases(self, transition: Transition) -> dict[float, int]:
        """Return the leases that begin here: their score → when they were asked for."""
        found = {}
        for command in transition:
            if command[0].upper() == b"ZADD" and b"}:leases:" in command[1]:
                for score, token in scored(command):
                    if token not in self._memory.sets[command[1]].of:
                        ttl = int(token.rsplit(b":", 2)[1])
                        found[float(score)] = ceil(float(score)) - ttl
        return found

    def _taken(self, member: str, before: float, at: int) -> None:
        """Check a claim: what was due, or whose lease had lapsed, and nothing else."""
        if before % 1:
            self.abandoned += 1
            self._free_since[member] = before
            self.slowest_takeover_ms = max(self.slowest_takeover_ms, int(at - before))
            if at < before:
                self._broken("I5", member, f"claimed {before - at:.0f} ms before its lease lapsed")
        elif at < before:
            self._broken("I3", member, f"claimed {before - at:.0f} ms before it was due")

    def _broken(self, invariant: str, subject: str, what: str) -> None:
        self.violations.append(Violation(invariant, subject, what))


def _added(transition: Transition) -> dict[str, str]:
    """Return the events that this transition leaves in the stream: stream id → event id."""
    added: dict[str, str] = {}
    for command in transition:
        name = command[0].upper()
        if name == b"XADD" and b"event_id" in command and not command[1].endswith(b"}:parked"):
            event = command[command.index(b"event_id") + 1].decode()
            added[command[command.index(b"user_id") - 1].decode()] = event
        elif name == b"XDEL":
            for stream_id in command[2:]:
                added.pop(stream_id.decode(), None)
    return added


def _dropped(transition: Transition, index: bytes) -> set[bytes]:
    """Return what this transition took off the indexes of a kind: leases, or the schedule."""
    return {
        name
        for command in transition
        if command[0].upper() == b"ZREM" and index in command[1]
        for name in command[2:]
    }


def history_of(folder: Path, *, needs_lease: bool = True) -> History:
    """Read the history of the server that keeps its files in this folder."""
    return History(needs_lease=needs_lease).read(read_transitions(folder))
