"""Accepting in the background: each intent is accepted exactly once, and no caller waits."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final, Self

from galaxy_notify import __version__
from galaxy_notify.background.accept_target import AcceptTarget
from galaxy_notify.background.bounded_queue import BoundedQueue
from galaxy_notify.background.options import BackgroundOptions
from galaxy_notify.background.overflow_thread import OverflowThread
from galaxy_notify.background.packed_intent import id_of, kind_in
from galaxy_notify.background.sender_thread import BackgroundMetrics, SenderThread
from galaxy_notify.background.spill import Spill
from galaxy_notify.background.stats import Closed, Stats
from galaxy_notify.background.target import HasTarget, Target
from galaxy_notify.errors import AlreadyClosed, ConfigurationError
from galaxy_notify.intake.plan import IntentLike
from galaxy_notify.model.not_copied import NotCopied
from galaxy_notify.model.publication import PublicationLike
from galaxy_notify.redis_client.access import settings_at
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.export import start_telemetry
from galaxy_notify.telemetry.logs import get_logger

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

_CLOSE_S: Final = 5.0
# Seconds by which a dead collector, or a disk, may delay the end after the deadline.
_TELEMETRY_S: Final = 0.5
_DISK_S: Final = 1.0
_ATTRIBUTES: Final = {"service.name": "galaxy-notify-producer", "service.version": __version__}


class BackgroundNotifier(NotCopied):
    """Takes intents without waiting for Redis; safe to share between threads, not over a fork.

    Each intent gets its id in `enqueue`, and is sent with this id until there is an answer, so it
    becomes one notification even if it is sent several times. An outage of Redis delays no caller.
    Intents that do not fit into the queue are handled by ``on_full``, and counted; see
    `BackgroundOptions`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        adopt: bool = False,
        options: BackgroundOptions | None = None,
        telemetry: Telemetry | None = None,
        target: HasTarget | None = None,
    ) -> None:
        """Start to send, first what is in the spill of an earlier process.

        Intents are accepted by *settings*; *adopt* uses the shared settings of the deployment. With
        a *target* in place of settings, a `galaxy_notify.feed.Feed`, publications are published in
        it. Without *telemetry* the ``OTEL_*`` variables decide. Raises `ConfigurationError` if the
        spill is unusable or holds items for another target; servers may be away.
        """
        options = options or BackgroundOptions()
        self._log = get_logger("background")
        self._target = _target(settings, adopt, target)
        self._spill = _spill(options, self._target)
        found = self._spill.found if self._spill else 0
        if self._spill and (found or self._spill.damaged):
            self._log.warning(
                "unsent intents found in spill",
                path=self._spill.path,
                count=found,
                damaged=self._spill.damaged,
            )
        self._queue = BoundedQueue(
            options.capacity, options.capacity_bytes, block_s=options.block_s, found=found
        )
        self._telemetry = start_telemetry(_ATTRIBUTES) if telemetry is None else None
        self._metrics = BackgroundMetrics(
            telemetry or self._telemetry or Telemetry.off(), self._queue
        )
        self._sender = SenderThread(self._queue, self._target, self._spill, options, self._metrics)
        self._overflow = (
            OverflowThread(self._queue, self._spill, options.batch) if self._spill else None
        )
        self._closed: Closed | None = None
        self._closing = threading.Lock()
        self._is_closed = False
        self._forked = False
        self._sender.start()
        if self._overflow:
            self._overflow.start()
        _OPEN_NOTIFIERS.add(self)
        atexit.register(self._finish, options.exit_within_s)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        prefix: str = "gn",
        options: BackgroundOptions | None = None,
        **redis: Any,
    ) -> Self:
        """Return a notifier that reads shards, channels and limits from the deployment.

        Further arguments are settings of the section ``redis``, such as ``password``.
        """
        return cls(settings_at(url, prefix, redis), adopt=True, options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def enqueue(self, intent: IntentLike | PublicationLike) -> str | None:
        """Queue an intent as it is now; return its id, or None if it was dropped and counted.

        In front of a feed it is a publication. Raises `InvalidIntent` or `InvalidPublication` for
        an invalid one and `AlreadyClosed` after `close`, but never an error of a server.
        """
        if self._forked:
            raise self._after_fork()
        if self._is_closed:
            raise AlreadyClosed.named(type(self).__name__)
        packed = self._target.pack(intent)
        return id_of(packed) if self._queue.put(packed) else None

    def stats(self) -> Stats:
        """Return the counts of all intents, at one moment."""
        if self._forked:
            raise self._after_fork()
        return self._queue.stats()

    def close(self, deadline_s: float = _CLOSE_S) -> Closed:
        """Refuse new intents, send waiting ones until the deadline, and return those that remain.

        With a spill, the remaining intents are in it. Closing twice returns the same.
        """
        if self._forked:
            return Closed(Stats())
        self._is_closed = True
        return self._finish(deadline_s)

    def _finish(self, deadline_s: float) -> Closed:
        with self._closing:
            if self._closed is None:
                self._queue.close()
                self._sender.join(max(0.0, deadline_s))
                self._closed = self._end()
                atexit.unregister(self._finish)
                self._metrics.report(now=True)
                if self._telemetry:
                    self._telemetry.shutdown(_TELEMETRY_S)
            return self._closed

    def _end(self) -> Closed:
        self._sender.stop()
        if self._overflow:
            self._overflow.stop()
        in_flight, waiting = self._queue.end()
        if self._overflow:
            self._overflow.join(_DISK_S)
        spilled = self._spill is not None and self._keep([*in_flight, *waiting])
        self._queue.count_leftovers(
            None if spilled else "spill_failed" if self._spill else "closed"
        )
        closed = Closed(
            self._queue.stats(),
            () if spilled else tuple(map(id_of, waiting)),
            () if spilled else tuple(map(id_of, in_flight)),
            self._spill.path if self._spill else None,
        )
        if not closed.is_clean:
            self._log.warning(
                "background notifier stopped with unsent intents",
                remaining=len(closed.remaining),
                unknown=len(closed.unknown),
                spilled=closed.spilled,
            )
        return closed

    def _keep(self, intents: list[bytes]) -> bool:
        """Append intents to the spill; return False if that fails."""
        assert self._spill is not None
        try:
            if intents:
                self._spill.append(intents)
                self._spill.settle()
            self._spill.sync()
        except OSError as error:
            self._log.warning("spill unusable", reason=error.strerror)
            return not intents
        finally:
            self._spill.close()
        return True

    def _after_fork(self) -> RuntimeError:
        return RuntimeError("created before a fork: create a BackgroundNotifier in each process")

    def _forget_after_fork(self) -> None:
        """Give up all resources in a forked child: they belong to the parent process."""
        self._forked = True
        atexit.unregister(self._finish)
        if self._spill:
            self._spill.forget()


_OPEN_NOTIFIERS: weakref.WeakSet[BackgroundNotifier] = weakref.WeakSet()


def _forget_all_after_fork() -> None:
    for notifier in list(_OPEN_NOTIFIERS):
        notifier._forget_after_fork()


os.register_at_fork(after_in_child=_forget_all_after_fork)


def _target(settings: Settings | None, adopt: bool, target: HasTarget | None) -> Target:
    if (settings is None) == (target is None):
        raise TypeError("a background notifier needs either settings or a target")
    if target is not None:
        return target.queue_target
    assert settings is not None
    return AcceptTarget(settings, adopt=adopt)


def _spill(options: BackgroundOptions, target: Target) -> Spill | None:
    if options.spill_path is None:
        return None
    spill = Spill(options.spill_path, options.spill_max_bytes, options.batch)
    if spill.first is not None and kind_in(spill.first) not in (None, target.kind):
        spill.close()
        raise ConfigurationError(f"spill_path: {spill.path}: holds items for another target")
    return spill
