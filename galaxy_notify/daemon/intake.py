"""The reader of the intent stream, inside the daemon or as a process of its own.

Such a process is ready at once, joins the deployment, reads, and stops.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from galaxy_notify import __version__
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake_stream.reader import IntentReader
from galaxy_notify.process.end_signals import DRAIN_S, EndSignals
from galaxy_notify.process.join import DeploymentJoin, join_as
from galaxy_notify.process.process_id import process_id
from galaxy_notify.process.supervisor import ProgressWatchdog, environ_supervisor
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.async_retries import StopFlag
from galaxy_notify.redis_client.failed_calls import refuse_permanent
from galaxy_notify.redis_client.faults import REDIS_ERRORS, Fault
from galaxy_notify.redis_client.scripts import load_all
from galaxy_notify.redis_state.intents import IntentMember
from galaxy_notify.redis_state.keys import IntentKeys
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
            return await joining.run(self._stop) is not None
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


_CONNECTIONS: Final = 4
_AGAIN_S: Final = 5.0


@dataclass
class IntakePart:
    """Reads the intent stream until stopped; *alive* is called every few seconds meanwhile."""

    settings: Settings
    telemetry: Telemetry
    reader_id: str
    alive: Callable[[], object] = bool
    notifier: AsyncNotifier | None = None

    def __post_init__(self) -> None:
        self._stop = StopFlag(self.alive)

    async def run(self) -> None:
        """Read until stopped; raise `ConfigurationError` if Redis refuses the first call."""
        await self._run(refuse_permanent)

    async def run_beside(self) -> None:
        """Read until stopped; a defect of the reader is logged and never ends other work."""
        while not self._stop:
            try:
                await self._run(None)
            except Exception as error:  # a defect of the reader must not end publishing
                get_logger("intake").error("intake failed", exc_info=error)
                await self._stop.wait(_AGAIN_S)

    def stop(self) -> None:
        """Finish the batch in flight, then end `run`."""
        self._stop.set()

    async def _run(self, at_start: Callable[[Fault], None] | None) -> None:
        own, name = self.settings.intake, f"galaxy-notify-{self.reader_id}"
        client = open_async(self.settings, connections=_CONNECTIONS, name=name)
        notifier = self.notifier or AsyncNotifier(self.settings, once=True)
        member = IntentMember(client, IntentKeys(own.stream), own.group, self.reader_id)
        try:
            reader = IntentReader(member, notifier, own, self.telemetry, self._stop, at_start)
            await reader.run()
        finally:
            for closing in (notifier.close(), client.aclose()):
                with suppress(*REDIS_ERRORS):
                    await closing
