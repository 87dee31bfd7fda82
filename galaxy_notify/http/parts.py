"""What the endpoints work with."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from galaxy_notify.http.threads import Threads
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake.planner import Planner
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.prometheus import Scraped


@dataclass(frozen=True)
class Parts:
    """The parts of one server."""

    settings: Settings
    notifier: AsyncNotifier
    threads: Threads
    scraped: Scraped
    #: Parses what takes long to parse.
    parser: Planner = field(default_factory=Planner)

    @property
    def telemetry(self) -> Telemetry:
        """Return what counts."""
        return self.scraped.telemetry

    async def close(self) -> None:
        """Let go of the connections."""
        await self.notifier.close()
        self.threads.close()


def parts_of(request: Request) -> Parts:
    """Return the parts of the server that got this request."""
    parts: Parts = request.app.state.parts
    return parts
