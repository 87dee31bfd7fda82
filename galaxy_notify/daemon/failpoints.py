"""Failpoints: deaths, hangs and errors on purpose, for tests of what they cost.

There are none unless GN_FAILPOINTS is set, for instance to
``seed=7,after_claim:kill:0.02,before_settle:delay=50``: a place, what happens there, and the chance
that it does (always, if left out). The seed decides when.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from random import Random
from typing import Any, Final, NamedTuple

from galaxy_notify.encoding import Encoder
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_client.stream_member import Entry, Waiting
from galaxy_notify.redis_state.intents import Ended, IntentMember, Keeping, Reject
from galaxy_notify.redis_state.leases import Claim, Settled
from galaxy_notify.redis_state.store import Store
from galaxy_notify.telemetry.logs import get_logger

VARIABLE: Final = "GN_FAILPOINTS"
#: `poison` is where a reader is handed an intent of the type ``failpoint.poison``.
PLACES: Final = (
    *("before_claim", "after_claim", "encode", "before_settle", "after_settle"),
    *("after_read", "before_admit", "after_admit", "before_refuse", "after_refuse", "poison"),
)
_POISON: Final = b'"failpoint.poison"'
_POINT: Final = re.compile(
    rf"(?P<place>{'|'.join(PLACES)}):(?P<action>kill|raise|fault|hang|delay=(?P<ms>[0-9]+))"
    r"(?::(?P<chance>[01](?:\.[0-9]+)?))?"
)


class _Point(NamedTuple):
    place: str
    act: Callable[[], object]
    chance: float


class Failpoints:
    """What is to go wrong in this process."""

    def __init__(self, text: str) -> None:
        """Read the variable; raise `ConfigurationError` where it means nothing."""
        seed, points = "", []
        for word in text.split(","):
            if word.startswith("seed="):
                seed = word.removeprefix("seed=")
                continue
            match = _POINT.fullmatch(word)
            if match is None:
                raise ConfigurationError(f"{VARIABLE}: {word!r} is no failpoint")
            points.append(_Point(match["place"], _action(match), float(match["chance"] or 1)))
        self._points = points
        self._rng = Random(seed)

    def hit(self, place: str) -> None:
        """Do what is to be done at this place, if chance wants it so."""
        for point in self._points:
            if point.place == place and self._rng.random() < point.chance:
                point.act()


class _FailingStore(Store):
    def __init__(self, points: Failpoints, *parts: Any) -> None:
        super().__init__(*parts)
        self._points = points

    async def claim(self, *args: Any, **options: Any) -> Claim:
        self._points.hit("before_claim")
        claim = await super().claim(*args, **options)
        self._points.hit("after_claim")
        return claim

    async def settle(self, *args: Any, **options: Any) -> Settled:
        self._points.hit("before_settle")
        settled = await super().settle(*args, **options)
        self._points.hit("after_settle")
        return settled


class _FailingEncoder:
    def __init__(self, points: Failpoints, encoder: Encoder) -> None:
        self._points = points
        self._encoder = encoder

    def encode(self, notification: Notification, route: Route, /) -> bytes:
        self._points.hit("encode")
        return self._encoder.encode(notification, route)


class _FailingIntents(IntentMember):
    def __init__(self, points: Failpoints, *parts: Any) -> None:
        super().__init__(*parts)
        self._points = points

    async def read(self, count: int, block_ms: int) -> list[Entry]:
        entries = await super().read(count, block_ms)
        if entries:
            self._hit_by(entries)
        return entries

    async def begin(self, waiting: Waiting) -> Entry | None:
        entry = await super().begin(waiting)
        if entry:
            self._hit_by([entry])
        return entry

    async def settle(
        self, admitted: Sequence[str], rejects: Sequence[Reject], keeping: Keeping
    ) -> Ended:
        verb = "refuse" if rejects else "admit"
        self._points.hit(f"before_{verb}")
        ended = await super().settle(admitted, rejects, keeping)
        self._points.hit(f"after_{verb}")
        return ended

    def _hit_by(self, entries: Sequence[Entry]) -> None:
        self._points.hit("after_read")
        if any(_POISON in value for entry in entries for value in entry.fields.values()):
            self._points.hit("poison")


def intents_on(*parts: Any) -> IntentMember:
    """Return the reader made of these parts, with the failpoints of this process, if any."""
    points = _armed()
    return IntentMember(*parts) if points is None else _FailingIntents(points, *parts)


def store_on(*parts: Any, points: Failpoints | None = None) -> Store:
    """Return the store made of these parts, with the failpoints of this process, if any."""
    points = points or _armed()
    return Store(*parts) if points is None else _FailingStore(points, *parts)


def encoder_of(encoder: Encoder, points: Failpoints | None = None) -> Encoder:
    """Return the encoder, with the failpoints of this process, if any."""
    points = points or _armed()
    return encoder if points is None else _FailingEncoder(points, encoder)


def _action(match: re.Match[str]) -> Callable[[], object]:
    if match["ms"]:
        seconds = int(match["ms"]) / 1000
        return lambda: time.sleep(seconds)
    actions: Mapping[str, Callable[[], object]] = {
        "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "raise": _raise,
        "fault": _fault,
        "hang": lambda: time.sleep(86_400),
    }
    return actions[match["action"]]


def _raise() -> None:
    msg = "a failpoint"
    raise RuntimeError(msg)


def _fault() -> None:
    raise RedisFault(Fault("timeout", Remedy.RETRY, "a failpoint"))


@cache
def _armed() -> Failpoints | None:
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    get_logger("daemon").warning("failpoints set", points=text)
    return Failpoints(text)
