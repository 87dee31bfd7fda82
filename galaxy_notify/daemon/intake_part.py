"""The reader of the intent stream with its own connections, alone or inside the daemon."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake_stream.reader import IntentReader
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.async_retries import StopFlag
from galaxy_notify.redis_client.failed_calls import refuse_permanent
from galaxy_notify.redis_client.faults import REDIS_ERRORS, Fault
from galaxy_notify.redis_state.intents import IntentMember
from galaxy_notify.redis_state.keys import IntentKeys
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger

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
