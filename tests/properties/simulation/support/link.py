"""One process' way to the server: calls are delayed, lost, unanswered, late or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from redis.exceptions import ConnectionError as Gone
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as Late

from galaxy_notify.redis_client.scripts import names, script
from tests.properties.simulation.support.fates import TIMEOUT_S, Fate, Fates
from tests.properties.simulation.support.server import VirtualServer

_NAMES = {script(name).sha: name for name in names()}


class Link:
    """Stands in for the asynchronous client of one process, with all that the product calls."""

    def __init__(self, server: VirtualServer, fates: Fates, name: str, trace: list[str]) -> None:
        self.dead = False
        self.mortal = False
        self.name = name
        self._hung: list[asyncio.Future[None]] = []
        self._server = server
        self._fates = fates
        self._trace = trace

    #: It leads to one server, which is always the primary.
    connection_kwargs: ClassVar[dict[str, Any]] = {"primary": None}

    @property
    def connection_pool(self) -> Link:
        """Return what can be disconnected."""
        return self

    async def disconnect(self, *, inuse_connections: bool) -> None:
        """Drop connections."""

    async def get_connection(self) -> Connection:
        """Return what commands can be written to."""
        return Connection(self)

    async def release(self, connection: Connection) -> None:
        """Take a connection back."""

    def discard(self, connection: Connection) -> None:
        """Throw a connection away."""

    async def parse_response(self, connection: Connection, _: str) -> Any:
        """Read the reply to a command."""
        return await connection.read_response()

    async def execute_command(self, *command: Any) -> Any:
        """Send a command."""
        return await self._send(_told(command), lambda: self._server.execute(command))

    async def script_load(self, source: str) -> Any:
        """Send a script."""
        return await self._send("SCRIPT LOAD", lambda: self._server.load(source))

    async def blpop(self, keys: Sequence[str], timeout: float) -> Any:  # noqa: ASYNC109  # redis-py's
        """Wait for an element; a connection that breaks is another call's fate."""
        await self._alive()
        found = await self._server.pop(keys, timeout)
        await self._alive()
        return found

    async def llen(self, key: str) -> Any:
        """Count a list."""
        return await self.execute_command("LLEN", key)

    async def rpush(self, key: str, value: str) -> Any:
        """Add to a list."""
        return await self.execute_command("RPUSH", key, value)

    async def exists(self, key: str) -> Any:
        """Tell whether a key is there."""
        return await self.execute_command("EXISTS", key)

    async def zadd(self, key: str, mapping: dict[str, int]) -> Any:
        """Add to a sorted set."""
        pairs = [part for member, score in mapping.items() for part in (score, member)]
        return await self.execute_command("ZADD", key, *pairs)

    def pipeline(self, *, transaction: bool) -> Pipeline:
        """Return commands that are sent together."""
        return Pipeline(self)

    async def send_all(self, commands: Sequence[Sequence[Any]]) -> Any:
        """Send commands together."""

        def execute() -> list[Any]:
            return [self._server.execute(command) for command in commands]

        return await self._send("MULTI", execute)

    async def send_each(self, commands: Sequence[Sequence[Any]]) -> Any:
        """Send commands together; each has its own reply, or the error in its place."""

        def execute() -> list[Any]:
            return [_caught(partial(self._server.execute, command)) for command in commands]

        return await self._send(" ".join(_told(command) for command in commands), execute)

    async def _send(self, told: str, execute: Any) -> Any:
        await self._alive()
        fate = self._fates.next()
        if fate.kind.startswith("crash") and not self.mortal:
            fate = fate._replace(kind="lost")
        self._trace.append(
            f"{self._fates.calls} {self._server.now} {self.name} {told}: {fate.kind}"
        )
        if fate.kind == "late":
            loop = asyncio.get_running_loop()
            self._server.late += 1
            loop.call_later(fate.there_s, self._arrive, execute)
            await asyncio.sleep(TIMEOUT_S)
            raise Late("Timeout reading")
        await asyncio.sleep(fate.there_s)
        await self._before(fate)
        reply = _caught(execute)
        await self._after(fate)
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def _arrive(self, execute: Any) -> None:
        """Have a call executed of which nobody hears any more."""
        self._server.late -= 1
        _caught(execute)

    async def _before(self, fate: Fate) -> None:
        if fate.kind == "crash before":
            self.dead = True
        await self._alive()
        if fate.kind == "flush":
            self._server.client.script_flush()
        elif fate.kind == "lost":
            await self._break(fate)
        elif fate.kind == "refused":
            raise ResponseError(fate.refusal)

    async def _after(self, fate: Fate) -> None:
        if fate.kind == "crash after":
            self.dead = True
        await asyncio.sleep(fate.back_s)
        await self._alive()
        if fate.kind == "unanswered":
            await self._break(fate)

    async def _break(self, fate: Fate) -> None:
        if fate.timeout:
            await asyncio.sleep(TIMEOUT_S)
            raise Late("Timeout reading")
        raise Gone("Connection reset")

    async def _alive(self) -> None:
        """Go on, unless the process has died."""
        if self.dead:
            # Kept, or what waits for it would be collected in its midst.
            self._hung.append(asyncio.get_running_loop().create_future())
            await self._hung[-1]


class Connection:
    """Commands that were written packed; they are executed when the first reply is read."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._commands: list[list[Any]] = []
        self._replies: list[Any] = []

    async def send_packed_command(self, data: Sequence[bytes]) -> None:
        """Write commands."""
        self._commands += _unpacked(b"".join(data))

    async def read_response(self) -> Any:
        """Read one reply, or raise it."""
        if self._commands:
            commands, self._commands = self._commands, []
            self._replies += await self._link.send_each(commands)
        reply = self._replies.pop(0)
        if isinstance(reply, RedisError):
            raise reply
        return reply


class Pipeline:
    """Commands that are sent together; each method names its command."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._commands: list[tuple[Any, ...]] = []

    def hset(self, key: str, items: Sequence[str]) -> None:
        """Set fields."""
        self._commands.append(("HSET", key, *items))

    def hsetnx(self, key: str, field: str, value: str) -> None:
        """Set a field that is not there."""
        self._commands.append(("HSETNX", key, field, value))

    def pexpire(self, key: str, ms: int) -> None:
        """Let a key expire."""
        self._commands.append(("PEXPIRE", key, ms))

    def zadd(self, key: str, mapping: dict[str, int]) -> None:
        """Add to a sorted set."""
        self._commands += [("ZADD", key, score, member) for member, score in mapping.items()]

    def zrem(self, key: str, member: str) -> None:
        """Remove from a sorted set."""
        self._commands.append(("ZREM", key, member))

    def delete(self, key: str) -> None:
        """Delete a key."""
        self._commands.append(("DEL", key))

    async def execute(self) -> Any:
        """Send them."""
        return await self._link.send_all(self._commands)


def _caught(execute: Any) -> Any:
    try:
        return execute()
    except RedisError as error:
        return error


def _unpacked(data: bytes) -> list[list[Any]]:
    """Return the commands that were packed together, with their names as text."""
    commands: list[list[Any]] = []
    rest = data
    while rest:
        head, _, rest = rest.partition(b"\r\n")
        words: list[Any] = []
        for _ in range(int(head[1:])):
            size, _, rest = rest.partition(b"\r\n")
            words.append(rest[: int(size[1:])])
            rest = rest[int(size[1:]) + 2 :]
        commands.append([*(word.decode() for word in words[:2]), *words[2:]])
    return commands


def _told(command: Sequence[Any]) -> str:
    if command[0] == "EVALSHA":
        return _NAMES[command[1]]
    return " ".join(map(str, command[:2]))
