"""The daemon: ready at once, join the deployment, publish, drain, stop."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from galaxy_notify import __version__
from galaxy_notify.daemon.intake import IntakePart
from galaxy_notify.daemon.shard import Shard
from galaxy_notify.daemon.status import StatusLine
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.operations.starting import check_channels
from galaxy_notify.process.closing import close_soon
from galaxy_notify.process.end_signals import DRAIN_S, SENDS_DRAIN_S, EndSignals
from galaxy_notify.process.join import DeploymentJoin, join_as
from galaxy_notify.process.process_id import process_id
from galaxy_notify.process.supervisor import ProgressWatchdog, environ_supervisor
from galaxy_notify.publishing.state import Policy, PublisherState
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.faults import REDIS_ERRORS
from galaxy_notify.redis_client.scripts import load_all
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.worker_process import own_process
from galaxy_notify.settings import Settings
from galaxy_notify.signals import PATIENCE_S
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import configure_logs, get_logger

if TYPE_CHECKING:
    from galaxy_notify.feed_store.store import FeedStore


class Part(Protocol):
    """What runs until it is stopped."""

    def stop(self) -> None: ...


class Daemon:
    """One worker process for all shards of a deployment."""

    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry,
        read_settings: Callable[[], Settings],
        revive: Callable[[], object] | None = None,
        feed: FeedStore | None = None,
    ) -> None:
        """Prepare; *read_settings* returns the settings again after SIGHUP.

        *revive* restarts an embedded server that has died; it may block. *feed* is what the daemon
        writes events into beside its work, and asks what a user has read.

        Raises `ConfigurationError`, for example for an encoder that cannot be loaded.
        """
        check_channels(settings)
        load_all()
        self.worker_id = process_id()
        self._settings = settings
        self._read_settings = read_settings
        self._telemetry = telemetry
        self._revive = revive
        self._feed = feed
        self._policy = Policy.from_settings(settings, self.worker_id)
        self._supervisor = environ_supervisor()
        self._watchdog = ProgressWatchdog(self._supervisor)
        self._log = get_logger("daemon", worker=self.worker_id)
        self._stop = asyncio.Event()
        # What is being sent outside takes longer to end than a batch.
        self._drain_s = SENDS_DRAIN_S if settings.external_channels else DRAIN_S
        self._signals = EndSignals(
            self._on_stop_signal,
            lambda name: self._log.warning("daemon exiting immediately", signal=name),
            self._drain_s + PATIENCE_S - DRAIN_S,
            on_reload=self._reload_settings,
        )
        self._publisher: PublisherState | None = None
        self._client = open_async(
            settings, connections=_connections(settings), name=f"galaxy-notify-{self.worker_id}"
        )

    async def run(self) -> None:
        """Publish until SIGTERM or SIGINT, then drain; a second signal ends the process at once.

        An outage of Redis never ends it. Raises `ConfigurationError` for a deployment with other
        shared settings, or the error of a defect.
        """
        self._signals.listen()
        about = {"version": __version__, "shards": self._settings.worker.shards}
        self._log.info("daemon started", pid=os.getpid(), **about)
        self._supervisor.ready()
        try:
            if await self._join():
                await self._work()
        finally:
            with suppress(*REDIS_ERRORS):
                await self._client.aclose()
            if self._feed is not None:
                await close_soon(self._feed)
            self._telemetry.shutdown()
            self._signals.disarm()
        self._log.info("daemon stopped")

    async def _join(self) -> bool:
        join = partial(join_as, Role.DAEMON, self._client, self._settings)
        joining = DeploymentJoin(join, self._telemetry, self._supervisor, self._watchdog, self._log)
        return await joining.run(self._stop) is not None

    async def _work(self) -> None:
        key_space = KeySpace(self._settings.redis.prefix, self._policy.shared)
        publisher = self._publisher = PublisherState(
            self._settings, self._policy, self._telemetry, _about(), self._watchdog.progressed
        )
        shards = [Shard(self._client, publisher, keys) for keys in key_space.all_keys]
        running = [asyncio.create_task(shard.run()) for shard in shards]
        parts: list[Part] = [*shards]
        if self._settings.external_channels:
            # Loaded here: a daemon that sends nothing outside does without the extra.
            from galaxy_notify.daemon.channels import channels_part

            channels = channels_part(self._client, publisher, key_space, shards, self._feed)
            parts.append(channels)
            running.append(asyncio.create_task(channels.run()))
        beside = list(self._beside(key_space))
        parts += [part for part, _ in beside]
        also = [asyncio.create_task(work) for _, work in beside]
        status = StatusLine(publisher, shards, self._supervisor, self._revive)
        reporting = asyncio.create_task(status.run(self._stop))
        stopped = asyncio.create_task(self._stop.wait())
        self._log.info("daemon working", channels=list(self._settings.worker.served))
        await asyncio.wait({stopped, reporting, *running}, return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        try:
            await self._drain(parts, [*running, *also])
        finally:
            await reporting

    def _beside(self, key_space: KeySpace) -> Iterator[tuple[Part, Coroutine[Any, Any, None]]]:
        """Return what runs beside publishing and never ends it, and the work of each."""
        if self._settings.intake.enabled:
            intake = IntakePart(self._settings, self._telemetry, self.worker_id)
            yield intake, intake.run_beside()
        if self._feed is not None and self._settings.feed.enabled:
            # Loaded here: a daemon that writes no feed does without the extra.
            from galaxy_notify.feed.writer import FeedWriter

            writer = FeedWriter(self._settings, self._feed, self.worker_id, self._telemetry)
            yield writer, writer.run_beside(key_space)

    async def _drain(self, parts: Sequence[Part], running: Iterable[asyncio.Task[None]]) -> None:
        self._supervisor.stopping()
        self._log.info("daemon draining", at_most_s=self._drain_s)
        for part in parts:
            part.stop()
        done, late = await asyncio.wait(running, timeout=self._drain_s)
        if late:
            # Their leases expire and another worker takes over; nothing is lost.
            self._log.warning("drain timed out", shards=len(late))
        for task in done:
            task.result()

    def _on_stop_signal(self, name: str) -> None:
        self._log.info("daemon stop requested", signal=name)
        self._stop.set()

    def _reload_settings(self) -> None:
        """Apply the settings that a running process can change, and log the others."""
        self._supervisor.reloading()
        try:
            settings = self._read_settings()
        except ConfigurationError as error:
            self._log.error("settings reload failed", reason=str(error))
        else:
            needed = restart_needed(self._settings, settings)
            self._settings = reloadable(self._settings, settings)
            configure_logs(self._settings.log.level, self._settings.log.format)
            encoder = self._policy.encoder
            self._policy = Policy.from_settings(self._settings, self.worker_id, encoder)
            if self._publisher is not None:
                self._publisher.reload(self._settings, self._policy)
            self._log.info("settings reloaded", restart_needed_for=needed)
        self._supervisor.ready()


def _connections(settings: Settings) -> int:
    """Return the maximum of calls in flight: slots, listeners and a janitor for each shard.

    Each place of an external channel has one more.
    """
    places = sum(settings.channels[name].concurrency for name in settings.external_channels)
    return settings.worker.shards * (settings.worker.slots + 3) + places + 2


def _about() -> dict[str, str]:
    started = time.time_ns() // 1_000_000
    return {
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "version": __version__,
        "started_ms": str(started),
        "process": own_process(),
    }


RELOADABLE: Final = frozenset(
    {
        "gateway.group_idle_ms",
        "gateway.on_refused",
        "log.format",
        "log.level",
        "retention.dead_max",
        "retention.dead_ms",
        "retry.backoff_max_ms",
        "retry.backoff_min_ms",
        "retry.jitter",
        "worker.max_abandoned",
        "worker.publish",
    }
)


def restart_needed(old: Settings, new: Settings) -> list[str]:
    """Return the names of the changed settings that need a restart, sorted."""
    return sorted(_changed(old, new) - RELOADABLE)


def reloadable(old: Settings, new: Settings) -> Settings:
    """Return *old* with the changes of *new* that need no restart."""
    sections: dict[str, dict[str, object]] = {}
    for name in _changed(old, new) & RELOADABLE:
        section, field = name.split(".")
        update = sections.setdefault(section, {})
        update[field] = getattr(getattr(new, section), field)
    parts = {name: getattr(old, name).model_copy(update=to) for name, to in sections.items()}
    return old.model_copy(update=parts)


def _changed(old: Settings, new: Settings) -> set[str]:
    before, after = _values(old), _values(new)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _values(settings: Settings) -> dict[str, object]:
    return {
        f"{name}.{field}": value
        for name, section in settings.sections()
        for field, value in section
    }
