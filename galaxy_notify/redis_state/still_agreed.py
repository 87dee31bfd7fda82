"""Whether a server still holds the deployment that a client took over: asked once a connection."""

from __future__ import annotations

from typing import Any, Final

from redis import exceptions

from galaxy_notify.redis_state.faults import NO_DEPLOYMENT, OTHER_DEPLOYMENT, Fault
from galaxy_notify.redis_state.keys import Keys


class NotAgreed(exceptions.ConnectionError):
    """A connection was closed again, because the server does not hold what was taken over."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


class StillAgreed:
    """Looks at each new connection whether the number of shards is the one that was taken over.

    A client that has no settings of the deployment must not write to a server that has lost it, as
    after a restart without data: only a daemon founds it again. Nothing is asked before `expect`.
    """

    def __init__(self, prefix: str) -> None:
        """Expect nothing yet."""
        self._key: Final = Keys(prefix, 0).meta
        self._shards: int | None = None
        #: Whether a server did not hold it since `expect`: then it is to be read again.
        self.is_broken = False

    def expect(self, shards: int) -> None:
        """Take over what was read."""
        self._shards = shards
        self.is_broken = False

    def check(self, connection: Any) -> None:
        """Log in, then look; raises redis-py's errors, which close the connection."""
        connection.on_connect_check_health(check_health=True)
        if self._shards is not None:
            connection.send_command("HMGET", self._key, "shards")
            self._read(connection.read_response())

    async def check_async(self, connection: Any) -> None:
        """Do the same as `check`."""
        await connection.on_connect_check_health(check_health=True)
        if self._shards is not None:
            await connection.send_command("HMGET", self._key, "shards")
            self._read(await connection.read_response())

    def _read(self, reply: Any) -> None:
        held = reply[0] if isinstance(reply, list) and reply else None
        if held is None:
            self.is_broken = True
            raise NotAgreed(NO_DEPLOYMENT)
        if held != str(self._shards).encode():
            # Whatever was planned for the shards of before must not be tried again.
            self._shards = None
            self.is_broken = True
            raise NotAgreed(OTHER_DEPLOYMENT)
