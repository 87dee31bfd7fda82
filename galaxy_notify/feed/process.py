"""The life of a process that writes the feed: ready at once, join the deployment, write, stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import redis.asyncio

from galaxy_notify import __version__
from galaxy_notify.errors import ConfigurationError, FeedUnavailable
from galaxy_notify.feed.writer import FeedWriter
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.process.closing import close_soon
from galaxy_notify.process.end_signals import DRAIN_S, EndSignals
from galaxy_notify.process.join import DeploymentJoin
from galaxy_notify.process.process_id import process_id
from galaxy_notify.process.supervisor import ProgressWatchdog, environ_supervisor
from galaxy_notify.redis_client.access import open_async, user_name
from galaxy_notify.redis_client.faults import REDIS_ERRORS, RedisFault, Remedy
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_client.scripts import load_all
from galaxy_notify.redis_state.joining import adopt_deployment
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.permissions import check_rights
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import configure_logs, get_logger

_WRITER: Final = 0


class FeedProcess:
    """One process that writes the feed; it starts whether Redis and Postgres answer or not."""

    def __init__(
        self,
        settings: Settings,
        store: FeedStore,
        telemetry: Telemetry,
        read_settings: Callable[[], Settings],
    ) -> None:
        """Prepare; *read_settings* returns the settings again after SIGHUP."""
        load_all()
        self.writer_id = process_id()
        self._settings = settings
        self._store = store
        self._telemetry = telemetry
        self._read_settings = read_settings
        self._log = get_logger("feed", writer=self.writer_id)
        self._stop = asyncio.Event()
        self._supervisor = environ_supervisor()
        self._watchdog = ProgressWatchdog(self._supervisor)
        self._signals = EndSignals(
            self._on_stop_signal,
            lambda name: self._log.warning("feed exiting immediately", signal=name),
            on_reload=self._reload_settings,
        )

    async def run(self) -> None:
        """Write until SIGTERM or SIGINT; a second signal ends the process at once.

        No outage ends it. Raises `ConfigurationError` for a deployment or a schema that this
        version cannot use, or where Redis or Postgres refuses access; or the error of a defect.
        """
        self._signals.listen()
        self._log.info("feed started", pid=os.getpid(), version=__version__)
        self._supervisor.ready()
        try:
            key_space = await self._join()
            if key_space is not None:
                await self._work(key_space)
        finally:
            await close_soon(self._store)
            self._telemetry.shutdown()
            self._signals.disarm()
        self._log.info("feed stopped")

    async def _join(self) -> KeySpace | None:
        """Take shards and streams from the deployment; None if stopped first."""
        client = open_async(self._settings, connections=1, name=f"galaxy-notify-{self.writer_id}")
        joining = DeploymentJoin(
            lambda: self._adopt(client),
            self._telemetry,
            self._supervisor,
            self._watchdog,
            self._log,
        )
        try:
            key_space = await joining.run(self._stop)
        finally:
            with suppress(*REDIS_ERRORS):
                await client.aclose()
        if key_space is not None:
            # While it is away, the writer waits for it.
            with suppress(FeedUnavailable):
                await self._store.ready()
        return key_space

    async def _adopt(self, client: redis.asyncio.Redis) -> KeySpace:
        prefix = self._settings.redis.prefix
        try:
            keys, user = Keys(prefix, 0), user_name(self._settings)
            await check_rights(client, keys, Role.FEED, user)
            return KeySpace(prefix, await run_flow(client, adopt_deployment(prefix)))
        except RedisFault as error:
            if error.fault.remedy is Remedy.RESOLVE:
                await refresh_primary(client)
            raise

    async def _work(self, key_space: KeySpace) -> None:
        writer = FeedWriter(
            self._settings, self._store, self.writer_id, self._telemetry, self._progressed
        )
        writing = asyncio.create_task(writer.run(key_space))
        stopped = asyncio.create_task(self._stop.wait())
        self._supervisor.status("writing the feed")
        await asyncio.wait({stopped, writing}, return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        self._supervisor.stopping()
        writer.stop()
        done, late = await asyncio.wait({writing}, timeout=DRAIN_S)
        if late:
            # Another writer soon claims its events; nothing is lost.
            self._log.warning("feed drain timed out")
        for task in done:
            task.result()

    def _reload_settings(self) -> None:
        """Take the log of the settings again; a password in a credential is always read again."""
        self._supervisor.reloading()
        try:
            new = self._read_settings()
            configure_logs(new.log.level, new.log.format)
            needed = _restart_needed(self._settings, new)
            self._log.info("settings reloaded", restart_needed_for=needed)
        except ConfigurationError as error:
            self._log.error("settings reload failed", reason=str(error))
        self._supervisor.ready()

    def _on_stop_signal(self, name: str) -> None:
        self._log.info("feed stop requested", signal=name)
        self._stop.set()

    def _progressed(self) -> None:
        self._watchdog.progressed(_WRITER)
        self._telemetry.progressed(_WRITER)


def _restart_needed(old: Settings, new: Settings) -> list[str]:
    """Return the names of the changed settings that need a restart, sorted."""
    return sorted(
        f"{section}.{field}"
        for section in ("redis", "feed")
        for field, value in getattr(new, section)
        if value != getattr(getattr(old, section), field)
    )
