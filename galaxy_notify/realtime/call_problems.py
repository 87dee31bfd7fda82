"""What a user is answered where Redis does not do what was asked; the log says where it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from galaxy_notify.errors import CallFailed, Misconfigured, ServerRefused
from galaxy_notify.realtime.connection import retry_ms
from galaxy_notify.redis_client.failed_calls import failed_call
from galaxy_notify.redis_client.faults import BUSY, RedisFault
from galaxy_notify.telemetry.outage import EdgeLog
from galaxy_notify.web.problems import Problem, retry_after


class CallProblems:
    """Turns faults of Redis into problems, which do not say where it is: anybody may read them.

    *what* names what cannot be reached, a plural; *edges* logs when that begins and ends.
    """

    def __init__(self, what: str, edges: EdgeLog) -> None:
        self._what = what
        self._edges = edges

    @contextmanager
    def problems(self) -> Iterator[None]:
        """Raise the problem of a fault in the block."""
        try:
            yield
        except RedisFault as error:
            raise self._failed(failed_call(error)) from error
        except CallFailed as error:
            raise self._failed(error) from error
        else:
            self._edges.up()

    def _failed(self, error: CallFailed) -> Problem:
        self._edges.down(error.code, str(error))
        if isinstance(error, Misconfigured):
            detail = f"the {self._what} cannot be used: see the log of the gateway"
            return Problem("misconfigured", detail)
        kind = "unavailable"
        if error.code == BUSY:
            kind = "busy"
        elif isinstance(error, ServerRefused):
            kind = "refused"
        detail = f"the {self._what} are unavailable: {error.code}"
        return Problem(kind, detail, (), retry_after(retry_ms()))
