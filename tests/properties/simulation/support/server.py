"""The one server of a simulation: a real one, whose clock is the simulation's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import redis

from galaxy_notify.redis_client.scripts import Script, names, script
from tests.scripts.support.shard import NOW

_TIME_AT: Final = {"lease_shorten": 0, "stream_trim": 2}
_TIMELESS: Final = ("route_reposition", "channel_pause", "channel_resume")
_WAKING: Final = (
    *("intent_accept", "route_publish", "route_claim", "route_replay", "channel_resume"),
)
#: The only answer of these scripts after which somebody may have been woken.
_WAKES: Final = {"route_publish": b"published", "route_claim": b"claimed"}


class VirtualServer:
    """Executes commands at once, one after the other, at the simulation's time."""

    def __init__(
        self, client: redis.Redis, loop: asyncio.AbstractEventLoop, mutants: Mapping[str, Script]
    ) -> None:
        self.client = client
        # A connection of its own: a loan for each command takes as long as the command.
        self._connection: Any = client.connection_pool.get_connection()
        self.stepped_back_ms = 0
        #: Calls that nobody waits for any more, and that will be executed all the same.
        self.late = 0
        self._loop = loop
        self._offset_ms = NOW
        self._scripts = {script(name).sha: name for name in names()}
        self._mutants = mutants
        self._ends: dict[str, int] = {}
        self._learn()
        self._waiting: list[tuple[Sequence[str], asyncio.Future[Any]]] = []

    @property
    def now(self) -> int:
        """Return the server's clock."""
        return self._offset_ms + int(self._loop.time() * 1000)

    def step(self, ms: int) -> None:
        """Set the clock."""
        self._offset_ms += ms
        self.stepped_back_ms += max(0, -ms)

    def execute(self, command: Sequence[Any]) -> Any:
        """Execute a command; raises what a client would."""
        self._expire()
        name = str(command[0]).upper()
        if name == "EVALSHA":
            return self._run(command)
        if name == "TIME":
            return (self.now // 1000, self.now % 1000 * 1000)
        if name in ("SET", "PEXPIRE"):
            self._ends[command[1]] = self.now + int(command[-1])
        reply = self._ask(*command)
        if name == "RPUSH":
            self._wake()
        return reply

    async def pop(self, keys: Sequence[str], timeout_s: float) -> Any:
        """Wait for an element of a list, as BLPOP does."""
        if (found := self._pop(keys)) is not None:
            return found
        future: asyncio.Future[Any] = self._loop.create_future()
        entry = (keys, future)
        self._waiting.append(entry)
        await asyncio.wait({future}, timeout=timeout_s)
        if entry in self._waiting:
            self._waiting.remove(entry)
        return future.result() if future.done() else None

    def close(self) -> None:
        """Give the connection back."""
        self.client.connection_pool.release(self._connection)

    def _ask(self, *command: Any) -> Any:
        self._connection.send_command(*command)
        return self._connection.read_response()

    def _run(self, command: Sequence[Any]) -> Any:
        name = self._scripts[command[1]]
        run = list(command)
        if name in self._mutants:
            run[1] = self._mutants[name].sha
        if name not in _TIMELESS:
            run[3 + int(command[2]) + _TIME_AT.get(name, 1)] = self.now
        reply = self._ask(*run)
        if name in _WAKING and reply[0] == _WAKES.get(name, reply[0]):
            self._wake()
        return reply

    def load(self, source: str) -> Any:
        """Learn a script."""
        for name, mutant in self._mutants.items():
            if script(name).source == source:
                source = mutant.source
        return self.client.script_load(source)

    def _learn(self) -> None:
        """Know all scripts, so that a schedule does not depend on what ran before."""
        sources = {one.sha: one.source for one in (*map(script, names()), *self._mutants.values())}
        there: Any = self.client.script_exists(*sources)
        for known, source in zip(there, sources.values(), strict=True):
            if not known:
                self.client.script_load(source)

    def _pop(self, keys: Sequence[str]) -> Any:
        if not self._ask("EXISTS", *keys):
            return None
        popped = ((key, self._ask("LPOP", key)) for key in keys)
        return next((found for found in popped if found[1] is not None), None)

    def _wake(self) -> None:
        for entry in list(self._waiting):
            keys, future = entry
            found = self._pop(keys)
            if found is None:
                return
            self._waiting.remove(entry)
            if not future.done():
                future.set_result(found)

    def _expire(self) -> None:
        for key, ends in list(self._ends.items()):
            if ends <= self.now:
                del self._ends[key]
                self._ask("DEL", key)
