"""A process that only reads the intent stream: ready at once, join, read, stop."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from functools import partial
from typing import Final

from galaxy_notify import __version__
from galaxy_notify.daemon.intake_part import IntakePart
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.process.end_signals import DRAIN_S, EndSignals
from galaxy_notify.process.join import DeploymentJoin, join_as
from galaxy_notify.process.process_id import process_id
from galaxy_notify.process.supervisor import ProgressWatchdog, environ_supervisor
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.faults import REDIS_ERRORS
from galaxy_notify.redis_client.scripts import load_all
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.settings import Settings, untagged
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger

_READER: Final = 0


class Intake:
    """One reader process."""

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        """Prepare; raise `ConfigurationError` for a stream name that a cluster cannot place."""
        if problem := untagged(settings):
            raise ConfigurationError(f"intake.stream: {problem} (redis.cluster)")
        load_all()
        self._settings = settings
        self._telemetry = telemetry
        self._reader_id = process_id()
        self._log = get_logger("intake", reader=self._reader_id)
        self._stop = asyncio.Event()
        self._supervisor = environ_supervisor()
        self._watchdog = ProgressWatchdog(self._supervisor)
        self._signals = EndSignals(
            self._on_stop_signal,
            lambda name: self._log.warning("intake exiting immediately", signal=name),
        )

    async def run(self) -> None:
        """Read until SIGTERM, SIGINT or SIGHUP; a second signal ends the process at once.

        An outage of Redis never ends it. Raises `ConfigurationError`, or the error of a defect.
        """
        self._signals.listen()
        self._log.info("intake started", pid=os.getpid(), version=__version__)
        self._supervisor.ready()
        try:
            if await self._join():
                await self._work()
        finally:
            self._telemetry.shutdown()
            self._signals.disarm()
        self._log.info("intake stopped")

    def _on_stop_signal(self, name: str) -> None:
        self._log.info("intake stop requested", signal=name)
        self._stop.set()

    async def _join(self) -> bool:
        client = open_async(self._settings, connections=1, name=f"galaxy-notify-{self._reader_id}")
        join = partial(join_as, Role.INTAKE, client, self._settings)
        joining = DeploymentJoin(join, self._telemetry, self._supervisor, self._watchdog, self._log)
        try:
            return await joining.run(self._stop)
        finally:
            with suppress(*REDIS_ERRORS):
                await client.aclose()

    async def _work(self) -> None:
        part = IntakePart(self._settings, self._telemetry, self._reader_id, self._progressed)
        reading = asyncio.create_task(part.run())
        stopped = asyncio.create_task(self._stop.wait())
        self._supervisor.status(f"reading {self._settings.intake.stream}")
        await asyncio.wait({stopped, reading}, return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        self._supervisor.stopping()
        part.stop()
        done, late = await asyncio.wait({reading}, timeout=DRAIN_S)
        if late:
            # Another reader soon claims its entries; nothing is lost.
            self._log.warning("intake drain timed out")
        for task in done:
            task.result()

    def _progressed(self) -> None:
        self._watchdog.progressed(_READER)
        self._telemetry.progressed(_READER)
