"""Backlogs as they may stand in Redis: all that decides which road a route takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import msgpack
import redis
from hypothesis import strategies as st

from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Failure, Route, Status, decode_route, initial_state
from galaxy_notify.redis_state.keys import Keys
from tests.support.records import encode_notification

T = TypeVar("T")
KEYS = Keys("gn", 0)
NOW = 1_900_000_000_000
CHANNELS = ("push", "email")
#: Type and producer share a record's first texts; ``chat`` is kept for longer than the others.
TYPES = ("game.ready", "chat", "alarm", "t" * 64, "жук")
LARGEST_PAYLOAD = 70_000
_NEEDED = (b"p", b"f", b"d")
# Lengths on both sides of each header of a text or of bytes.
_SHORT = (0, 1, 7, 31, 32, 33, 255, 256, 300)
_LONG = (65_400, 65_536, LARGEST_PAYLOAD - 200, LARGEST_PAYLOAD + 1, LARGEST_PAYLOAD + 9_000)


class Scheduled(NamedTuple):
    """A route that stands in the schedule of its channel."""

    state: bytes
    score: int
    abandoned: int = 0


@dataclass(frozen=True)
class Planted:
    """A notification and its routes."""

    notification_id: str
    record: bytes
    routes: Mapping[str, Scheduled]

    @property
    def open(self) -> int:
        """How many of its routes need it."""
        return sum(route.state[1:2] in _NEEDED for route in self.routes.values())


def plant(client: redis.Redis, backlog: Iterable[Planted]) -> None:
    """Put a backlog into an empty database."""
    pipeline = client.pipeline(transaction=False)
    for planted in backlog:
        fields: dict[Any, Any] = {"record": planted.record, "open": planted.open}
        for route_id, (state, score, abandoned) in planted.routes.items():
            channel, member = route_id.partition(":")[0], f"{planted.notification_id}/{route_id}"
            fields[route_id] = state
            pipeline.zadd(KEYS.schedule(channel), {member: score})
            if abandoned:
                pipeline.hset(KEYS.abandoned(channel), member, str(abandoned))
        pipeline.hset(KEYS.notification(planted.notification_id), mapping=fields)
        pipeline.hincrby(KEYS.totals, "accepted", len(planted.routes))
    pipeline.execute()


def stamped(state: bytes, at_ms: int, due_ms: int) -> bytes:
    """Return a state with the times that a script fills in."""
    return state[:2] + b"%013d%013d" % (at_ms, due_ms) + state[28:]


def _mostly(usual: st.SearchStrategy[T], odd: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Return the odd ones one time in ten: each field is odd in turn, and most are not."""
    return st.integers(0, 9).flatmap(lambda drawn: odd if drawn == 9 else usual)


def _texts(*lengths: int) -> st.SearchStrategy[str]:
    letters = _mostly(st.just("a"), st.sampled_from("é😀"))
    return st.builds(lambda letter, size: letter * size, letters, st.sampled_from(lengths))


def _content(fields: int, filler: str) -> bytes:
    packed: bytes = msgpack.packb(
        {f"f{place}": place if place else filler for place in range(fields)}
    )
    return packed


_CONTENTS = _mostly(
    st.builds(_content, st.integers(0, 11), _texts(*_SHORT)),
    st.builds(_content, st.integers(11, 12), _texts(*_LONG)),
)
_FAILURES = st.builds(Failure, st.just("payload_encoding_failed"), _texts(*_SHORT, 512))
_STEPS: dict[str, Callable[[Route, Failure], bytes]] = {
    "rescheduled": lambda route, _: route.rescheduled("cli:ann"),
    "buried": lambda route, failure: route.dead_lettered("w-1", failure, attempt=True),
    "replayed": lambda route, _: route.replayed("cli:ann"),
    "failed": lambda route, failure: route.failed("w-1", failure),
    "cancelled": lambda route, _: route.cancelled("cli:ann"),
    "expired": lambda route, _: route.expired("w-1"),
    "published": lambda route, _: route.published("w-1"),
}
_ALIVE = ("rescheduled", "replayed")
_ENDS = ("failed", "buried", "cancelled", "expired", "published")


def _route(steps: list[str], failure: Failure, most: int, at_ms: int, due_ms: int) -> bytes:
    """Return the state of a route after these steps."""
    state = stamped(initial_state(most or None), at_ms, due_ms)
    for step in steps:
        for part in ("buried", "replayed") if step == "replayed" else (step,):
            state = stamped(_STEPS[part](decode_route(state), failure), at_ms, due_ms)
    return state + b"1-1" if decode_route(state).status is Status.PUBLISHED else state


_LIVES = st.lists(st.sampled_from(_ALIVE), max_size=14)
_HISTORIES = _mostly(
    _mostly(st.just([]), _LIVES) | _LIVES,
    st.lists(st.sampled_from(_ALIVE), min_size=10, max_size=24)
    | st.tuples(_LIVES, st.sampled_from(_ENDS)).map(lambda life: [*life[0], life[1]]),
)
# Routes accepted together have the same times; 0 is a time that no clock of ours gives.
_TIMES = _mostly(st.sampled_from((NOW - 60_000, NOW - 1, NOW)), st.sampled_from((0, 2**32 - 1)))
_STATES = st.builds(
    _route, _HISTORIES, _FAILURES, st.sampled_from((0, 0, 3, 300)), _TIMES, st.just(NOW - 60_000)
)


def _scheduled(state: bytes, late_ms: int, due_ms: int | None, abandoned: int) -> Scheduled:
    score = NOW - late_ms
    due = score if due_ms is None else due_ms
    return Scheduled(state[:15] + b"%013d" % due + state[28:], score, abandoned)


_SCHEDULED = st.builds(
    _scheduled,
    _STATES,
    _mostly(st.sampled_from((60_000, 1, 0)), st.sampled_from((-1, -5_000))),
    _mostly(st.none(), st.sampled_from((NOW, NOW + 1, 0))),
    _mostly(st.just(0), st.sampled_from((1, 2, 5))),
)
_RECIPIENTS = st.sampled_from(("u1", "u2", "u3", "u4", "a@b.c", "+49", "x" * 128))
_ROUTE_IDS = st.builds("{}:{}".format, st.sampled_from(("push", *CHANNELS)), _RECIPIENTS)


def _notification(fields: tuple[Any, ...], routes: dict[str, Scheduled], twin: bool) -> Any:
    """Return what makes a planted notification of a number; *twin* gives routes the same state."""
    kind, producer, content, due, expires, parts, more, key, *traces = fields
    if twin:
        routes = dict.fromkeys(routes, next(iter(routes.values())))

    def planted(number: int) -> Planted:
        made = f"{number:032x}" + (f".{parts}" if parts > 1 else "")
        count = len(routes) + more
        notification = Notification(
            made, NOW - 60_000, kind, producer, content, due, expires, parts, count, key, *traces
        )
        return Planted(made, encode_notification(notification, b"12345678"), routes)

    return planted


_FIELDS = st.tuples(
    _mostly(st.sampled_from(TYPES), _texts(*_SHORT)),
    _mostly(st.sampled_from(("lobby", "shop")), _texts(*_SHORT)),
    _CONTENTS,
    _mostly(st.none(), st.sampled_from((NOW, 0, 127, 128, 65_536, 2**32))),
    _mostly(st.sampled_from((None, NOW + 1, 2**63)), st.sampled_from((NOW - 1, NOW))),
    _mostly(st.just(1), st.sampled_from((2, 999_999))),
    st.sampled_from((0, 0, 0, 1)),
    _mostly(st.sampled_from(("", "k-1")), _texts(*_SHORT)),
    _mostly(st.sampled_from(("", "r-1")), _texts(*_SHORT)),
    st.sampled_from(("", "t-1")),
    st.sampled_from(("", f"00-{7:032x}-{7:016x}-01")),
)
_PLANTED = st.builds(
    _notification,
    _FIELDS,
    st.dictionaries(_ROUTE_IDS, _SCHEDULED, min_size=1, max_size=6),
    st.booleans(),
)


def backlogs(most: int) -> st.SearchStrategy[list[Planted]]:
    """Return backlogs of up to this many notifications."""
    return st.lists(_PLANTED, min_size=1, max_size=most).map(
        lambda makers: [make(number) for number, make in enumerate(makers, 1)]
    )
