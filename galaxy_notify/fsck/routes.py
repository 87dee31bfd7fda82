"""One route in all its places: what is read of it, and what would put it right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from galaxy_notify.fsck.pages import is_foreign
from galaxy_notify.model.ids import Member, split_member
from galaxy_notify.model.route import Route, readable_route
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.scripts import Argument, Command, ScriptCall, script
from galaxy_notify.redis_state.calls import words
from galaxy_notify.redis_state.keys import Keys

# A dozen commands each: well under a few milliseconds.
_REPAIRED_AT_ONCE: Final = 64
# What a claim names its lease: worker, slot, how long it lasts, and a nonce.
_TOKEN: Final = re.compile(rb".*:\d+:(\d{1,15}):[^:]+", re.DOTALL)
_MOST_LEASES: Final = 10_000


@dataclass(frozen=True)
class SeenRoute:
    """A member with all that the indexes of one channel, and its notification, say of it.

    *lease* is the token of the lease that it is under, *count* how often it was left behind;
    *now_ms* is the server's time just after it was read.
    """

    member: bytes
    channel: str
    score: float | None
    lease: bytes | None
    count: bytes | None
    died: float | None
    record: bool
    state: bytes
    now_ms: int

    @cached_property
    def name(self) -> Member | None:
        """Return the route that it names, or None where it names none."""
        return split_member(self.member)

    @cached_property
    def route(self) -> Route | None:
        """Return the route, or None where its state cannot be read."""
        return readable_route(self.state)

    @property
    def is_home(self) -> bool:
        """Return whether it was looked for in the indexes of its own channel."""
        return self.name is not None and self.name.channel == self.channel

    @property
    def lease_ttl_ms(self) -> int | None:
        """Return how long its lease may last in ms; None without a valid lease."""
        match = _TOKEN.fullmatch(self.lease or b"")
        return int(match[1]) if match else None

    @property
    def place(self) -> str:
        """Return the first index that has it; each member is looked at in that one alone."""
        if self.score is not None:
            return "schedule"
        if self.count is not None:
            return "abandoned"
        return "none" if self.died is None else "dead"


class Wanted(NamedTuple):
    """Where a route belongs: an index (``schedule:<channel>``, ``dead:<channel>``) or none.

    A score of None means now; *state* empty leaves the state; *reason* sets the member aside.
    """

    target: str = ""
    score: float | None = None
    keep_count: bool = False
    state: bytes = b""
    reason: str = ""


def read_routes(keys: Keys, channel: str, members: Sequence[bytes]) -> Flow[list[SeenRoute]]:
    """Read all about at most a page of members."""
    named: dict[bytes, list[bytes]] = {}
    for member in members:
        named.setdefault(member.partition(b"/")[0], []).append(member)
    scores, leases, counts, died, *known, time = yield [
        Command(["ZMSCORE", keys.schedule(channel), *members]),
        Command(["ZRANGE", keys.leases(channel), 0, _MOST_LEASES, "WITHSCORES"]),
        Command(["HMGET", keys.abandoned(channel), *members]),
        Command(["ZMSCORE", keys.dead(channel), *members]),
        *(command for name, routes in named.items() for command in _readings(keys, name, routes)),
        Command(["TIME"]),  # last: a claim or a release before it cannot seem to lie too far ahead
    ]
    states: dict[bytes, tuple[bool, bytes]] = {}
    for routes, record, stored in zip(named.values(), known[::2], known[1::2], strict=True):
        states |= _states(routes, record, stored)
    seconds, micros = unwrap(time)
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    tokens = {score: token for token, score in unwrap(leases)}
    rows = zip(members, unwrap(scores), unwrap(counts), unwrap(died), strict=True)
    return [
        SeenRoute(member, channel, score, tokens.get(score), count, when, *states[member], now_ms)
        for member, score, count, when in rows
    ]


def repair_routes(
    keys: Keys, items: Sequence[tuple[SeenRoute, Wanted]], *, fix: bool
) -> Flow[list[str]]:
    """Read routes again, each by one script, and repair if *fix*; return a word for each."""
    answers: list[str] = []
    for at in range(0, len(items), _REPAIRED_AT_ONCE):
        (reply,) = yield [fsck_repair(keys, items[at : at + _REPAIRED_AT_ONCE], fix=fix)]
        answers += words(unwrap(reply))
    return answers


def fsck_repair(keys: Keys, items: Iterable[tuple[SeenRoute, Wanted]], *, fix: bool) -> ScriptCall:
    """Compare routes with what was read and, if *fix*, put them where they belong."""
    args: list[Argument] = [keys.tag, "", "1" if fix else ""]
    for seen, wanted in items:
        args += (seen.member, seen.channel, _number(seen.score), seen.count or "")
        args += (_number(seen.died), "1" if seen.record else "", seen.state)
        args += (wanted.state, wanted.target, _number(wanted.score))
        args += ("1" if wanted.keep_count else "", wanted.reason)
    return ScriptCall(script("fsck_repair"), [keys.totals, keys.orphans, keys.never], args)


def _readings(keys: Keys, name: bytes, routes: Iterable[bytes]) -> tuple[Command, Command]:
    key = keys.notification("").encode() + name
    names = [route.partition(b"/")[2] for route in routes]
    return Command(["HEXISTS", key, "record"]), Command(["HMGET", key, *names])


def _states(routes: Sequence[bytes], record: Any, stored: Any) -> dict[bytes, tuple[bool, bytes]]:
    """Return of each member whether its notification has a record, and its state."""
    if is_foreign(record) or is_foreign(stored):
        return dict.fromkeys(routes, (False, b""))
    return {
        route: (bool(record), state or b"") for route, state in zip(routes, stored, strict=True)
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.17g}"
