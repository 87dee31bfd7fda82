"""How far the sweep of counts has come, and which process makes it; on the first shard only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import redis.asyncio

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Argument, Command
from galaxy_notify.redis_state.keys import Keys

#: For how long a process that died keeps others from sweeping.
LEASE_MS: Final = 15_000
#: What PTTL answers for a key that never expires.
_ENDLESS: Final = -1
_NUMBER: Final = re.compile(rb"[0-9]{1,15}")


class Swept(NamedTuple):
    """Until when counts were published; 0 where that is not known.

    Both times are in ms since 1970 by the clock of Postgres: *changes_ms* of the last sweep over
    what had changed, *all_ms* of the last one over all users. *epoch* was that of the counts.
    """

    changes_ms: int = 0
    all_ms: int = 0
    epoch: int = 0


class CountSweeps:
    """The lease and the progress of the sweep. Every method raises `RedisFault`."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, name: str) -> None:
        """Prepare for the process of this *name*; *keys* are those of the first shard."""
        self._client = client
        self._keys = keys
        self._name = name

    async def lease(self) -> bool:
        """Take or keep the lease; False while another process has it.

        Two processes that both sweep do no harm.
        """
        key = self._keys.sweeper
        holder, left = await self._tried(["GET", key], ["PTTL", key])
        for reply in (holder, left):
            if isinstance(reply, RedisFault) and "WRONGTYPE" not in reply.fault.text:
                raise reply
        if holder == self._name.encode():
            await self._ask(["PEXPIRE", key, LEASE_MS])
            return True
        # A clock that was set back would let a process that died keep its lease for that long.
        if isinstance(holder, RedisFault) or left > LEASE_MS or left == _ENDLESS:
            await self._ask(["DEL", key])
        (taken,) = await self._ask(["SET", key, self._name, "NX", "PX", LEASE_MS])
        return bool(taken)

    async def end_lease(self) -> None:
        """Let another process sweep at once."""
        (holder,) = await self._tried(["GET", self._keys.sweeper])
        if holder == self._name.encode():
            await self._ask(["DEL", self._keys.sweeper])

    async def read(self) -> Swept:
        """Return how far all sweeps have come."""
        (reply,) = await self._tried(["HMGET", self._keys.swept, *Swept._fields])
        if isinstance(reply, RedisFault):
            if "WRONGTYPE" not in reply.fault.text:
                raise reply
            await self._ask(["DEL", self._keys.swept])
            return Swept()
        return Swept(*[int(raw) if raw and _NUMBER.fullmatch(raw) else 0 for raw in reply])

    async def write(self, swept: Swept) -> None:
        """Store how far the sweep has come."""
        fields = [word for pair in swept._asdict().items() for word in pair]
        await self._ask(["HSET", self._keys.swept, *fields])

    async def _ask(self, *commands: list[Argument]) -> Sequence[Any]:
        replies = await self._tried(*commands)
        for reply in replies:
            if isinstance(reply, RedisFault):
                raise reply
        return replies

    async def _tried(self, *commands: list[Argument]) -> Sequence[Any]:
        return await run_all(self._client, [Command(words) for words in commands])
