"""One notification as it lies in Redis: its record, its routes, and where the indexes have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from galaxy_notify.model.ids import Target, first_part
from galaxy_notify.model.notification import Notification, readable_record
from galaxy_notify.model.route import Route, readable_route
from galaxy_notify.redis_client.replies import moment, number, text
from galaxy_notify.redis_state.deployment import Deployment, read_all
from galaxy_notify.redis_state.keys import Keys

_PARTS_A_TIME: Final = 8


@dataclass(frozen=True, slots=True)
class Lease:
    """Who works on a route, until when, and how often a lease on it lapsed before."""

    worker: str
    lapses_at_ms: int
    abandoned: int


@dataclass(frozen=True, slots=True)
class StoredRoute:
    """A route with its place in the indexes; *route* is None where the state cannot be read."""

    part: str
    route_id: str
    route: Route | None
    scheduled_ms: int | None
    dead_ms: int | None
    lease: Lease | None
    abandoned: int
    ahead: int | None

    @property
    def member(self) -> str:
        """Return its name in every index."""
        return f"{self.part}/{self.route_id}"

    @property
    def channel(self) -> str:
        """Return its channel."""
        return self.route_id.partition(":")[0]


@dataclass(slots=True)
class StoredNotification:
    """A notification over all its parts; *record* is None where it cannot be read.

    *moved_to_ms* is the due time that it was given as a whole after it was accepted.
    """

    notification_id: str
    record: Notification | None
    open: int
    ttl_ms: int | None
    moved_to_ms: int | None = None
    routes: list[StoredRoute] = field(default_factory=list)


def read_notification(deployment: Deployment, target: Target) -> StoredNotification | None:
    """Return a notification, with one route of it or all; None where there is none."""
    named = target.notification_id
    (first,) = _hashes(deployment, [named], target.route_id)
    if b"open" not in first:
        return None
    record = readable_record(named, first.get(b"record"))
    (ttl,) = read_all(deployment, [["PTTL", deployment.keys_for(named).notification(named)]])
    found = StoredNotification(named, record, 0, ttl if ttl >= 0 else None)
    found.moved_to_ms = number(first.get(b"due")) or None
    whole = first_part(named) == named
    _add(deployment, found, named, first, target.route_id)
    count = record.parts if record and whole else 1
    for parts in deployment.key_space.later_parts(named, count):
        if not sum(read_all(deployment, parts.counting())):
            continue
        for start in range(0, len(parts.names), _PARTS_A_TIME):
            chunk = parts.names[start : start + _PARTS_A_TIME]
            for part, fields in zip(
                chunk, _hashes(deployment, chunk, target.route_id), strict=True
            ):
                _add(deployment, found, part, fields, target.route_id)
    return found


def _hashes(
    deployment: Deployment, parts: Iterable[str], route_id: str | None
) -> Iterator[dict[bytes, bytes]]:
    names = ["record", "open", "due", route_id or ""]
    keys = [deployment.keys_for(part).notification(part) for part in parts]
    if route_id is None:
        yield from read_all(deployment, (["HGETALL", key] for key in keys))
        return
    for values in read_all(deployment, (["HMGET", key, *names] for key in keys)):
        pairs = zip(names, values, strict=True)
        yield {name.encode(): value for name, value in pairs if value is not None}


def _add(
    deployment: Deployment,
    found: StoredNotification,
    part: str,
    fields: Mapping[bytes, bytes],
    route_id: str | None,
) -> None:
    found.open += number(fields.get(b"open"))
    states = {text(raw): state for raw, state in fields.items() if b":" in raw}
    names = [name for name in sorted(states) if route_id in (None, name)]
    found.routes += _routes(deployment, part, {name: states[name] for name in names})


def _routes(deployment: Deployment, part: str, states: Mapping[str, bytes]) -> list[StoredRoute]:
    keys = deployment.keys_for(part)
    commands: list[list[Any]] = []
    for name in states:
        channel, member = name.partition(":")[0], f"{part}/{name}"
        commands += [
            ["ZSCORE", keys.schedule(channel), member],
            ["ZSCORE", keys.dead(channel), member],
            ["HGET", keys.abandoned(channel), member],
            ["ZRANK", keys.schedule(channel), member],
        ]
    replies = iter(read_all(deployment, commands))
    rows = list(zip(*[replies] * 4, strict=True))
    scores = dict(zip(states, (score for score, *_ in rows), strict=True))
    tokens = _tokens(deployment, keys, scores)
    return [
        StoredRoute(
            part,
            name,
            readable_route(state),
            None if score is None else moment(score),
            None if died is None else moment(died),
            _lease(tokens.get(name), score, number(count)),
            number(count),
            ahead,
        )
        for (name, state), (score, died, count, ahead) in zip(states.items(), rows, strict=True)
    ]


def _tokens(
    deployment: Deployment, keys: Keys, scores: Mapping[str, float | None]
) -> dict[str, bytes]:
    """Return the tokens of the leases under which routes are: only a lease ends between two ms."""
    leased = {name: score for name, score in scores.items() if score and score % 1 > 0}
    commands = []
    for name, score in leased.items():
        at = f"{score:.17g}"
        leases = keys.leases(name.partition(":")[0])
        commands.append(["ZRANGEBYSCORE", leases, at, at, "LIMIT", 0, 1])
    replies = read_all(deployment, commands) if commands else []
    return {name: found[0] for name, found in zip(leased, replies, strict=True) if found}


def _lease(token: bytes | None, score: float | None, abandoned: int) -> Lease | None:
    if token is None:
        return None
    return Lease(text(token).partition(":")[0], moment(score or 0) + 1, abandoned)
