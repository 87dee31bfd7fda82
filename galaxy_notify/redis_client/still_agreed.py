"""Whether a server still holds what a call was planned for: asked once a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from redis import exceptions

from galaxy_notify.redis_client.faults import NO_DEPLOYMENT, OTHER_DEPLOYMENT, Fault

#: By what the running thread or task plans its calls: the number of shards, None for any.
_PLANNED: Final[ContextVar[tuple[AgreementCheck, int | None] | None]] = ContextVar(
    "galaxy_notify_planned", default=None
)


class NotAgreed(exceptions.ConnectionError):
    """A connection was closed again: the server does not hold what a call was planned for."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


class AgreementCheck:
    """Compares at each connection the number of shards with the one that a call was planned for.

    A client that has no settings of the deployment must not write to a server that has lost it, as
    after a restart without data: only a daemon founds it again. A call that was planned for other
    shards is never sent, however long it has waited for a connection.
    """

    def __init__(self, meta: str) -> None:
        """Expect nothing yet; *meta* is the hash that holds the number of shards."""
        self._key: Final = meta
        #: Whether a server did not hold what a call was planned for: it is to be read again.
        self.is_broken = False

    def plan_for(self, shards: int | None) -> None:
        """Bind later calls of this thread or task to this many shards; None for any."""
        _PLANNED.set((self, shards))

    def check(self, connection: Any) -> None:
        """Log in, then look; raises redis-py's errors, which close the connection."""
        connection.on_connect_check_health(check_health=True)
        with self._noting(connection):
            connection.send_command("HMGET", self._key, "shards")
            self._note(connection, connection.read_response())

    async def check_async(self, connection: Any) -> None:
        await connection.on_connect_check_health(check_health=True)
        with self._noting(connection):
            await connection.send_command("HMGET", self._key, "shards")
            self._note(connection, await connection.read_response())

    @contextmanager
    def _noting(self, connection: Any) -> Iterator[None]:
        """Raise a refusal only where a call was planned; what reads the deployment meets it too."""
        connection.shards_of = (self, None)
        try:
            yield
        except exceptions.ResponseError:
            if not is_as_planned(connection):
                raise

    def _note(self, connection: Any, reply: Any) -> None:
        held = reply[0] if isinstance(reply, list) and reply else None
        connection.shards_of = (self, held)
        if not is_as_planned(connection):
            self.is_broken = True
            raise NotAgreed(NO_DEPLOYMENT if held is None else OTHER_DEPLOYMENT)


def is_as_planned(connection: Any) -> bool:
    """Return whether the server has the shards that the running call is for; True if unasked."""
    planned, found = _PLANNED.get(), connection.shards_of
    if planned is None or found is None or planned[0] is not found[0] or planned[1] is None:
        return True
    return bool(found[1] == str(planned[1]).encode())
