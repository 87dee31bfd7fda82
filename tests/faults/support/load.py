"""Producers in threads: they accept, now and then cancel, and write down what they were told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from galaxy_notify.errors import CallFailed
from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.model.ids import random_id
from tests.faults.support.journal import Journal, Promise
from tests.support.wait import HANG_S, wait_until

_STOP_SECONDS = HANG_S


@dataclass(frozen=True)
class Shape:
    """What is handed in: how wide, how large, how far ahead, and how much is cancelled.

    To *users* over *channels*; without them to users that come once, over ``push``.
    """

    recipients: int = 10
    text_bytes: int = 100
    #: None leaves the due time to the server.
    ahead_ms: int | None = 2000
    cancel: float = 0.02
    #: How many producers, and the pause of each after an intent.
    producers: int = 2
    pause_s: float = 0.0
    users: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


class Load:
    """Hands intents in until so many routes were accepted for certain, or until stopped."""

    def __init__(self, url: str, journal: Journal, rng: Random, shape: Shape | None = None) -> None:
        self.journal = journal
        self.shape = shape or Shape()
        self._url = url
        self._seeds = [rng.random() for _ in range(self.shape.producers)]
        self._stop = threading.Event()
        self._wanted = 0
        self._broken: list[BaseException] = []

    @contextmanager
    def running(self, routes: int) -> Iterator[Load]:
        """Produce while the block runs, so many routes at most."""
        self._stop.clear()
        self._wanted = routes
        threads = [threading.Thread(target=self._produce, args=(s,)) for s in self._seeds]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(_STOP_SECONDS)
        if self._broken:
            raise self._broken[0]

    @property
    def is_done(self) -> bool:
        """Tell whether all of it was accepted, or cannot be."""
        return bool(self._broken) or self.journal.routes >= self._wanted

    def hand_in(self, routes: int) -> None:
        """Produce so many routes and wait until they are accepted."""
        with self.running(self.journal.routes + routes):
            wait_until(lambda: self.is_done, "all of it is accepted", _STOP_SECONDS)

    def _produce(self, seed: float) -> None:
        rng = Random(seed)
        try:
            with Notifier.from_url(self._url) as notifier:
                while not self._stop.is_set() and not self.is_done:
                    self._one(notifier, rng)
                    self._stop.wait(self.shape.pause_s)
        except BaseException as error:
            self._broken.append(error)

    def _one(self, notifier: Notifier, rng: Random) -> None:
        intent = self._intent(rng)
        # The id and what is in the file are the promise, so they are noted before it is sent.
        notification_id = random_id(time.time_ns() // 1_000_000)
        promise = self.journal.asked(notification_id, intent)
        while not self._stop.is_set():
            try:
                receipt = notifier.accept(intent, notification_id=notification_id)
            except CallFailed:
                self.journal.no_answer()
                if rng.random() < 0.1:
                    return  # this producer gives up: it may be there or not
                self._stop.wait(0.02)
                continue
            assert receipt.status in ("accepted", "duplicate"), receipt
            promise.is_accepted = True
            break
        if promise.is_accepted and rng.random() < self.shape.cancel:
            self._cancel(notifier, promise)

    def _cancel(self, notifier: Notifier, promise: Promise) -> None:
        promise.is_cancel_asked = True
        try:
            promise.cancelled = notifier.cancel(promise.notification_id).cancelled
        except CallFailed:
            self.journal.no_answer()

    def _intent(self, rng: Random) -> dict[str, Any]:
        shape, number = self.shape, rng.getrandbits(48)
        due: dict[str, int] = {}
        if shape.ahead_ms is not None:
            now = time.time_ns() // 1_000_000
            due["due_at"] = now + rng.randrange(shape.ahead_ms + 1)
        over = {"channels": list(shape.channels)} if shape.channels else {}
        once = [f"u{number:x}-{n}" for n in range(shape.recipients)]
        return {
            "type": "game.turn.ready",
            "producer": "lobby",
            "recipients": rng.sample(shape.users, shape.recipients) if shape.users else once,
            "body": rng.randbytes(shape.text_bytes // 2).hex(),
            "data": {"number": number},
            **due,
            **over,
        }
