"""Arguments and reply of settle: the outcomes of one claim's members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from galaxy_notify.redis_state.calls import Answer, answers, time_argument
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.scripts import Argument, Call, script


class Event(NamedTuple):
    """The part of a gateway event that the routes of one notification share."""

    notification_id: str
    keep_ms: int
    expires_at_ms: int | None
    event_type: str
    payload: bytes
    request_id: str
    trace_id: str
    traceparent: str


class Delivery(NamedTuple):
    """The part of a gateway event that is one route's own, and its state once published."""

    route_id: str
    user_id: str
    event_id: str
    state: bytes


class Settlement:
    """The outcomes of one claim's members, in the order in which settle answers them."""

    def __init__(self) -> None:
        """Start empty."""
        self._args: list[Argument] = []
        self._open: tuple[Event, list[Delivery]] | None = None
        self.members: list[bytes] = []

    def __len__(self) -> int:
        return len(self.members)

    def publish(self, member: bytes, event: Event, delivery: Delivery) -> None:
        """Publish a route; consecutive routes with an equal event share its arguments."""
        self.members.append(member)
        if self._open and self._open[0] == event:
            self._open[1].append(delivery)
            return
        self._close()
        self._open = (event, [delivery])

    def retry(self, member: bytes, state: bytes, delay_ms: int) -> None:
        """Schedule another attempt."""
        self._add(member, "retry", state, delay_ms)

    def bury(self, member: bytes, state: bytes) -> None:
        """Dead-letter a route."""
        self._add(member, "bury", state)

    def expire(self, member: bytes, state: bytes, keep_ms: int) -> None:
        """End a route that is too late."""
        self._add(member, "expire", state, keep_ms)

    def release(self, member: bytes, delay_ms: int = 0) -> None:
        """Give a route back untouched."""
        self._add(member, "release", delay_ms)

    def drop(self, member: bytes, reason: str) -> None:
        """Move a member that can't be used to the orphans."""
        self._add(member, "drop", reason)

    def call(self, keys: Keys, channel: str, token: str, now: int | None = None) -> Call:
        """Return the call that settles everything added so far."""
        self._close()
        names = [keys.schedule(channel), keys.leases(channel), keys.dead(channel), keys.stream]
        names += [keys.totals, keys.orphans, keys.never]
        return Call(script("settle"), names, [keys.tag, time_argument(now), token, *self._args])

    def _add(self, member: bytes, outcome: str, *values: Argument) -> None:
        self._close()
        self.members.append(member)
        self._args += (outcome, member, *values)

    def _close(self) -> None:
        if self._open is None:
            return
        event, deliveries = self._open
        expires = "" if event.expires_at_ms is None else event.expires_at_ms
        self._args += ("publish", event.notification_id, event.keep_ms, expires, *event[3:])
        self._args.append(len(deliveries))
        for delivery in deliveries:
            self._args += delivery
        self._open = None


class Settled(NamedTuple):
    """What settle answered: one answer for each member, in order."""

    now_ms: int
    stream_length: int
    answers: list[Answer]


def read_settled(reply: Sequence[Any]) -> Settled:
    """Read what settle answered."""
    return Settled(int(reply[0]), int(reply[1]), answers(reply[2:]))
