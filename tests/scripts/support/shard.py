"""One shard for tests of the scripts: routes seeded in every state, time passed in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgpack
import redis

from galaxy_notify.model.notification import NewNotification, Notification, RouteGroup
from galaxy_notify.model.route import (
    Failure,
    Route,
    decode_route,
    initial_state,
    skipped_state,
)
from galaxy_notify.model.route_body import published_line
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state import calls, leases
from galaxy_notify.redis_state.accept_calls import intent_accept
from galaxy_notify.redis_state.calls import Answer, RouteChange
from galaxy_notify.redis_state.dead_rows import DeadChange
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.leases import Claim, ClaimLimits
from galaxy_notify.redis_state.publish_call import (
    Published,
    PublishTerms,
    read_published,
    route_publish,
)
from galaxy_notify.redis_state.settlement import Settled, Settlement, read_settled
from tests.support.records import encode_notification
from tests.support.servers import Server

NOW = 1_900_000_000_000
TTL = 30_000
KEEP = 60_000
WORKER = "host-1-abcd"
MINE = f"{WORKER}:0:{TTL}:1"
FAILURE = Failure("payload_encoding_failed", "no such codec")
LIMITS = ClaimLimits(members=256, ttl_ms=TTL, bytes=4 << 20, record_bytes=300_000, hold_at=0)
TERMS = PublishTerms(262_144, published_line(WORKER), (KEEP, 2 * KEEP), {})
_TIMELESS = {
    *("route_reposition", "channel_pause", "channel_resume", "event_park"),
    *("fsck_recount", "fsck_totals", "fsck_scan_notifications", "contact_change"),
    "attempt_record",
    *("preference_query", "collapse_record", "preference_set", "preference_read"),
    *("listing_trim", "listing_read", "group_read", "recent_read"),
    *("intake_ack", "intake_reject", "intake_resubmit", "consumer_forget"),
}
_TIME_AT = {"lease_shorten": 0, "rate_take": 0, "edge_fire": 0, "stream_trim": 2}


def at(call: ScriptCall, now: int) -> ScriptCall:
    """Return the call as if the server's clock said *now*."""
    if call.script.name in _TIMELESS:
        return call
    args = list(call.args)
    args[_TIME_AT.get(call.script.name, 1)] = now
    return ScriptCall(call.script, call.keys, args)


@cache
def packed_record(notification_id: str, routes: int, expires: int | None, filler: int) -> bytes:
    """Return a record as accept stores it; *filler* bytes make it larger."""
    content = {"severity": "info", "data": {"text": "x" * filler}}
    return encode_notification(
        Notification(
            notification_id=notification_id,
            created_at_ms=NOW,
            type="game.ready",
            producer="lobby",
            content=msgpack.packb(content),
            expires_at_ms=expires,
            routes=routes,
            request_id="r-1",
        ),
        notification_id.encode()[-8:],
    )


def new(
    number: int,
    routes: Sequence[str] = ("push:u1",),
    *,
    due: int | None = None,
    expires: int | None = None,
    filler: int = 0,
    born_cancelled: bool = False,
) -> NewNotification:
    """Return notification *number*, ready to be accepted."""
    made = f"{number:032x}"
    record = packed_record(made, len(routes), expires, filler)
    groups = [RouteGroup(initial_state(None, due, born_cancelled), routes)]
    return NewNotification(made, record, KEEP, groups)


def ruled(
    number: int, *groups: tuple[Sequence[str], int | None, str], born_cancelled: bool = False
) -> NewNotification:
    """Return notification *number* with groups of routes: these, when due, and why skipped."""
    made = f"{number:032x}"
    record = packed_record(made, sum(len(routes) for routes, *_ in groups), None, 0)
    found = [
        RouteGroup(
            skipped_state(reason, due) if reason else initial_state(None, due, born_cancelled),
            routes,
            reason,
        )
        for routes, due, reason in groups
    ]
    return NewNotification(made, record, KEEP, found)


def split(member: str) -> tuple[str, str]:
    """Return a member's notification id and route id."""
    notification_id, _, route_id = member.partition("/")
    return notification_id, route_id


@dataclass
class Shard:
    """A shard with its own clock; it remembers every member that was accepted."""

    client: redis.Redis
    keys: Keys = field(default_factory=lambda: Keys("gn", 0))
    now: int = NOW
    journal: set[str] = field(default_factory=set)
    claims: int = 0

    def run(self, call: ScriptCall) -> Any:
        """Run a script at the shard's time."""
        return run_sync(self.client, at(call, self.now))

    def answers(self, *items: NewNotification) -> list[Answer]:
        """Run accept."""
        found = calls.answers(self.run(intent_accept(self.keys, items)))
        for item, answer in zip(items, found, strict=True):
            if answer.word == "accepted":
                self.journal |= {f"{item.notification_id}/{route}" for route in item.routes}
        return found

    def accept(self, number: int, *routes: str, due: int | None = None) -> list[str]:
        """Accept notification *number* and return its members."""
        item = new(number, routes or ("push:u1",), due=due)
        assert [answer.word for answer in self.answers(item)] == ["accepted"]
        return [f"{item.notification_id}/{route}" for route in item.routes]

    def claim(
        self,
        token: str = MINE,
        *,
        channel: str = "push",
        limits: ClaimLimits = LIMITS,
        alone: bool = False,
    ) -> Claim:
        """Run claim."""
        call = leases.route_claim(self.keys, channel, token, limits, alone=alone, now=self.now)
        return leases.read_claim(self.run(call), token)

    def publish(
        self, channel: str = "push", limits: ClaimLimits = LIMITS, terms: PublishTerms = TERMS
    ) -> Published:
        """Run publish."""
        call = route_publish(self.keys, channel, limits, terms, self.now)
        return read_published(self.run(call))

    def settled(self, settlement: Settlement, token: str = MINE, channel: str = "push") -> Settled:
        """Run settle."""
        return read_settled(self.run(settlement.call(self.keys, channel, token)))

    def settle(
        self, settlement: Settlement, token: str = MINE, channel: str = "push"
    ) -> list[Answer]:
        """Run settle and return its answers."""
        return self.settled(settlement, token, channel).answers

    def words(self, settlement: Settlement, token: str = MINE, channel: str = "push") -> list[str]:
        """Run settle and return the words of its answers."""
        return [answer.word for answer in self.settle(settlement, token, channel)]

    def reposition(self, *items: leases.Correction, token: str = MINE) -> list[str]:
        """Run route_reposition."""
        return calls.words(self.run(leases.route_reposition(self.keys, "push", token, items)))

    def cancel(self, *members: str, before: bytes | None = None, mark: bool = False) -> list[str]:
        """Run cancel on members of one notification."""
        return calls.words(self.run(self.cancelling(*members, before=before, mark=mark)))

    def cancelling(
        self, *members: str, before: bytes | None = None, mark: bool = False
    ) -> ScriptCall:
        """Return the call that cancels members of one notification."""
        changes = []
        for member in members:
            state = before or self.state(member)
            after = decode_route(state).cancelled("cli:ann") if state else b""
            changes.append(RouteChange(split(member)[1], state, after))
        made = split(members[0])[0]
        return calls.route_cancel(self.keys, made, changes, keep_ms=KEEP, mark=mark)

    def rescheduling(
        self,
        *members: str,
        due: int,
        mark: bool = False,
        delays: Mapping[str, int] | None = None,
    ) -> ScriptCall:
        """Return the call that gives members of one notification another due time."""
        late = delays or {}
        changes = [
            RouteChange(split(m)[1], self.state(m), self.route(m).rescheduled("cli:ann"))
            for m in members
        ]
        made = split(members[0])[0]
        delayed = [(one, late.get(one.route_id.partition(":")[0], 0)) for one in changes]
        return calls.route_reschedule(self.keys, made, delayed, due_ms=due, mark=mark)

    def dead_change(self, member: str, verb: str) -> DeadChange:
        """Return the change that replays or purges a dead letter."""
        state = self.state(member)
        route = decode_route(state)
        after = route.replayed("cli:ann") if verb == "replay" else route.purged("cli:ann")
        return DeadChange(*split(member), state, after)

    def state(self, member: str) -> bytes:
        """Return what is stored of a route, empty where nothing is."""
        made, route_id = split(member)
        stored: Any = self.client.hget(self.keys.notification(made), route_id)
        return stored or b""

    def route(self, member: str) -> Route:
        """Return a route."""
        return decode_route(self.state(member))

    def hash_of(self, member: str) -> str:
        """Return the key of a member's notification."""
        return self.keys.notification(split(member)[0])

    def open(self, member: str) -> int:
        """Return how many routes still need the member's notification."""
        stored: Any = self.client.hget(self.hash_of(member), "open")
        return int(stored)

    def schedule(self, channel: str = "push") -> dict[str, float]:
        """Return the schedule of a channel, in whole ms: what is behind the point names a lease."""
        scores = self._scores(self.keys.schedule(channel))
        return {m: math.ceil(at) if math.isfinite(at) else at for m, at in scores.items()}

    def dead(self, channel: str = "push") -> dict[str, float]:
        """Return the dead letters of a channel."""
        return self._scores(self.keys.dead(channel))

    def leases(self, channel: str = "push") -> dict[str, str]:
        """Return the leases of a channel: member → token."""
        tokens = {at: token for token, at in self._scores(self.keys.leases(channel)).items()}
        scores = self._scores(self.keys.schedule(channel))
        return {member: tokens[at] for member, at in scores.items() if at in tokens}

    def lease(self, member: str, token: str, lapses: float, channel: str = "push") -> None:
        """Put one member under a lease of its own."""
        self.client.zadd(self.keys.schedule(channel), {member: lapses - 0.5})
        self.client.zadd(self.keys.leases(channel), {token: lapses - 0.5})

    def counts(self, channel: str = "push") -> dict[str, int]:
        """Return how often members of a channel were left behind."""
        rows: Any = self.client.hgetall(self.keys.abandoned(channel))
        return {member.decode(): int(count) for member, count in rows.items()}

    def events(self) -> list[tuple[str, dict[str, bytes]]]:
        """Return the entries of the gateway stream."""
        rows: Any = self.client.xrange(self.keys.stream)
        return [
            (made.decode(), {name.decode(): value for name, value in fields.items()})
            for made, fields in rows
        ]

    def total(self, name: str) -> int:
        """Return one of the totals."""
        stored: Any = self.client.hget(self.keys.totals, name)
        return int(stored or 0)

    def _scores(self, key: str) -> dict[str, float]:
        rows: Any = self.client.zrange(key, 0, -1, withscores=True)
        return {member.decode(): score for member, score in rows}


@contextmanager
def shard_on(server: Server) -> Iterator[Shard]:
    """Give an empty shard on a server."""
    with server.client() as client:
        yield Shard(client)
