"""Arguments and reply of settle: the outcomes of one claim's members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Argument, Call, script
from galaxy_notify.redis_state.calls import Answer, answers, time_argument
from galaxy_notify.redis_state.keys import Keys

#: What events of many notifications share: keep_ms, expires_at_ms or "", "1" where a notification
#: has no other route, event type, request id, trace id, traceparent, what ends the event ids, and
#: what `Route.published` returns. A plain tuple, because one is made for each route.
Kind = tuple[int, int | str, str, str, str, str, str, str, bytes]


class Settlement:
    """The outcomes of one claim's members; those to publish come first in ``members``."""

    def __init__(self) -> None:
        """Start empty."""
        self._kinds: list[Any] = []
        self._count = 0
        self._kind: Kind | None = None
        self._event: tuple[str, int, bytes] | None = None
        self._notifications_at = self._routes_at = 0
        self._published: list[bytes] = []
        self._others: list[Argument] = []
        self._rest: list[bytes] = []

    def __len__(self) -> int:
        return len(self._published) + len(self._rest)

    @property
    def members(self) -> list[bytes]:
        """Return the members in the order in which settle answers them."""
        return self._published + self._rest

    def publish(
        self,
        member: bytes,
        event: tuple[str, int, bytes],
        kind: Kind,
        route_id: bytes | str,
    ) -> None:
        """Publish a route; *event* is its notification's id, its due time and the payload.

        One of the same event, or of the same kind, as that before it shares its arguments.
        """
        self._published.append(member)
        args = self._kinds
        if kind != self._kind:
            self._kind, self._event = kind, None
            self._count += 1
            self._notifications_at = len(args) + len(kind)
            args += (*kind, 0)
        if event == self._event:
            args[self._routes_at] += 1
            args.append(route_id)
            return
        self._event = event
        args[self._notifications_at] += 1
        self._routes_at = len(args) + 3
        notification_id, due_at_ms, payload = event
        args += (notification_id, payload, b"%013d" % due_at_ms, 1, route_id)

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

    def call(
        self, keys: Keys, channel: str, token: str, now: int | None = None, claimed: int = 0
    ) -> Call:
        """Return the call that settles everything added so far.

        *claimed* is how many the claim gave: where all of them are settled, whoever still holds
        so many holds them all. It is 0 where the claim may arrive once more, and take as many
        others.
        """
        whole = claimed if claimed == len(self) else ""
        names = [keys.schedule(channel), keys.leases(channel), keys.abandoned(channel)]
        names += [keys.dead(channel), keys.stream, keys.totals, keys.orphans, keys.never]
        args = [keys.tag, time_argument(now), token, channel, whole, self._count]
        return Call(script("settle"), names, [*args, *self._kinds, *self._others])

    def _add(self, member: bytes, outcome: str, *values: Argument) -> None:
        self._rest.append(member)
        self._others += (outcome, member, *values)


class Settled(NamedTuple):
    """What settle answered: one answer for each member, in order."""

    now_ms: int
    stream_length: int
    answers: list[Answer]


@reader
def read_settled(reply: Sequence[Any], items: int | None = None) -> Settled:
    """Read what settle answered; raise where it does not answer each of so many items."""
    return Settled(int(reply[0]), int(reply[1]), answers(reply[2:], items))
