"""Failpoints: deaths, hangs and errors on purpose, for tests of what they cost.

The program has none. `daemon.py` puts them around its methods, as GN_FAILPOINTS asks, for instance
``seed=7,after_claim:kill:0.02,before_settle:delay=50``: a place, what happens there, and the chance
that it does (always, if left out). The seed decides when.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from random import Random
from typing import Any, Final, NamedTuple

from galaxy_notify.channels.webhook_sender import WebhookSender
from galaxy_notify.encoding import MsgpackEncoder
from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.live import placing
from galaxy_notify.live.placing import Placing
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.feed_backlog import BacklogMember
from galaxy_notify.redis_state.group import GroupMember
from galaxy_notify.redis_state.intents import IntentMember
from galaxy_notify.redis_state.store import Store

VARIABLE: Final = "GN_FAILPOINTS"
#: `poison`: a reader is handed an intent of the type ``failpoint.poison``. Behind it, of gateways:
#: events go into recent lists, instances are told, entries are acknowledged. Then of writers
#: of the feed: items are committed, marks are written, channels are added. Last of channels: a
#: webhook is sent, outcomes are recorded.
PLACES: Final = (
    *("before_publish", "after_publish"),
    *("before_claim", "after_claim", "encode", "before_settle", "after_settle"),
    *("after_read", "before_admit", "after_admit", "before_refuse", "after_refuse", "poison"),
    *("before_deliver", "after_deliver", "before_tell", "after_tell", "before_ack", "after_ack"),
    *("before_insert", "after_insert", "before_mark", "after_mark"),
    *("before_add", "after_add"),
    *("before_send", "after_send", "before_end", "after_end"),
)
_POISON: Final = b'"failpoint.poison"'
_POINT: Final = re.compile(
    rf"(?P<place>{'|'.join(PLACES)}):(?P<action>kill|raise|fault|hang|stop|"
    r"(?P<delay>delay|upto)=(?P<ms>[0-9]+))"
    r"(?::(?P<chance>[01](?:\.[0-9]+)?))?"
)


class _Point(NamedTuple):
    place: str
    act: Callable[[], object]
    chance: float


class Failpoints:
    """What is to go wrong in a process."""

    def __init__(self, text: str) -> None:
        """Read the variable; raise `ValueError` where it means nothing."""
        seed, points = "", []
        self._rng = Random()
        for word in text.split(","):
            if word.startswith("seed="):
                seed = word.removeprefix("seed=")
                continue
            match = _POINT.fullmatch(word)
            if match is None:
                raise ValueError(f"{VARIABLE}: {word!r} is no failpoint")
            points.append(
                _Point(match["place"], _action(match, self._rng), float(match["chance"] or 1))
            )
        self._points = points
        self._rng.seed(seed)

    def hit(self, place: str) -> None:
        """Do what is to be done at this place, if chance wants it so."""
        for point in self._points:
            if point.place == place and self._rng.random() < point.chance:
                point.act()

    def hit_by(self, entries: Sequence[Entry]) -> None:
        """Do what is to be done where a reader is handed these entries."""
        if entries:
            self.hit("after_read")
        if any(_POISON in value for entry in entries for value in entry.fields.values()):
            self.hit("poison")


def install(points: Failpoints) -> None:
    """Put the failpoints around what the worker and the reader of this process call.

    On the classes, for good: a process that is to fail does nothing else.
    """
    for method in ("publish", "claim", "settle", "end"):
        _surround(Store, method, lambda when, *_, of=method: points.hit(f"{when}_{of}"))
    _surround(WebhookSender, "send", lambda when, *_: points.hit(f"{when}_send"))
    _surround(IntentMember, "settle", lambda when, *args: points.hit(f"{when}_{_verb(*args)}"))
    for method in ("read", "begin"):
        _see_entries(method, points)
    _surround(Placing, "_append", lambda when, *_: points.hit(f"{when}_deliver"))
    _surround(placing, "tell_instances", lambda when, *_: points.hit(f"{when}_tell"))
    for member in (GroupMember, BacklogMember):
        _surround(member, "finish", lambda when, *_: points.hit(f"{when}_ack"))
    _surround(FeedStore, "insert", lambda when, *_: points.hit(f"{when}_insert"))
    _surround(FeedStore, "add_delivered", lambda when, *_: points.hit(f"{when}_add"))
    _surround(Marks, "publish", lambda when, counts: points.hit(f"{when}_mark" * bool(counts)))

    plain = MsgpackEncoder.encode

    @wraps(plain)
    def encode(*args: Any) -> bytes:
        points.hit("encode")
        return plain(*args)

    MsgpackEncoder.encode = encode  # type: ignore[method-assign]  # that is what is wanted


def _surround(owner: object, method: str, hit: Callable[..., None]) -> None:
    """Have *hit* called before and after a method, or a function of a module."""
    plain = getattr(owner, method)

    @wraps(plain)
    async def failing(self: object, *args: Any, **options: Any) -> Any:
        hit("before", *args)
        result = await plain(self, *args, **options)
        hit("after", *args)
        return result

    setattr(owner, method, failing)


def _see_entries(method: str, points: Failpoints) -> None:
    plain = getattr(IntentMember, method)

    @wraps(plain)
    async def failing(*args: Any) -> Any:
        found = await plain(*args)
        points.hit_by([found] if isinstance(found, Entry) else found or [])
        return found

    setattr(IntentMember, method, failing)


def _verb(_admitted: Sequence[str], rejects: Sequence[object], *_: object) -> str:
    return "refuse" if rejects else "admit"


def _action(match: re.Match[str], rng: Random) -> Callable[[], object]:
    if match["ms"]:
        seconds = int(match["ms"]) / 1000
        if match["delay"] == "upto":
            return lambda: time.sleep(seconds * rng.random())
        return lambda: time.sleep(seconds)
    actions: Mapping[str, Callable[[], object]] = {
        "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "raise": _raise,
        "fault": _fault,
        "hang": lambda: time.sleep(86_400),
        "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    }
    return actions[match["action"]]


def _raise() -> None:
    msg = "a failpoint"
    raise RuntimeError(msg)


def _fault() -> None:
    raise RedisFault(Fault("timeout", Remedy.RETRY, "a failpoint"))
