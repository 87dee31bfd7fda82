"""Connections that follow the primary: each goes to its address at the time of use."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection as AsyncAbstractConnection
from redis.connection import AbstractConnection
from redis.exceptions import MovedError

from galaxy_notify.redis_client.faults import REDIS_ERRORS
from galaxy_notify.redis_client.per_loop import PerLoop
from galaxy_notify.redis_client.topology import Address, Topology

_PAUSE_S: Final = 0.005
#: A longer search was interrupted, as by a signal handler that raises: it will not end, and the
#: next caller takes its turn.
_LONGEST_SEARCH_S: Final = 10.0


class _Search:
    """A caller that wants to search; in a fork, those of the parent process do not count."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._until = time.monotonic() + _LONGEST_SEARCH_S

    @property
    def counts(self) -> bool:
        """Return whether it may still be searching."""
        return self._pid == os.getpid() and time.monotonic() < self._until


class _SearchTurns:
    """Lets one caller search at a time; an interrupted call leaves no lock held."""

    def __init__(self) -> None:
        self._waiting: list[_Search] = []

    def begin(self, mine: _Search) -> bool:
        """Return whether it is the caller's turn; else it waits in line."""
        for other in tuple(self._waiting):
            if not other.counts:
                self.end(other)
        if mine not in self._waiting:
            self._waiting.append(mine)
        return self.is_turn_of(mine)

    def is_turn_of(self, mine: _Search) -> bool:
        """Return whether it is the caller's turn."""
        return self._waiting[:1] == [mine]

    def end(self, mine: _Search) -> None:
        """Let the next caller search."""
        with suppress(ValueError):
            self._waiting.remove(mine)


class TopologyClient:
    """Asks the nodes where the primary is: one thread at a time, at most twice a second."""

    def __init__(self, topology: Topology, client_of: Callable[[Address], redis.Redis]) -> None:
        self.topology = topology
        self._client_of = client_of
        self._clients: dict[Address, redis.Redis] = {}
        self._asking = _SearchTurns()

    def now(self, slot: int) -> Address:
        """Return the node that serves a slot; raise redis-py's `ConnectionError` if it is unknown.

        While one thread asks, the others go where the primary was.
        """
        known = self.topology.address(slot)
        if known is not None and not self.topology.is_due():
            return known
        mine = _Search()
        try:
            while not self._asking.begin(mine) and known is None:
                time.sleep(_PAUSE_S)
            if self._asking.is_turn_of(mine) and self.topology.is_due():
                self._ask()
        finally:
            self._asking.end(mine)
        return self.topology.address(slot) or _no_primary(self.topology)

    def close(self) -> None:
        """Close the connections to the nodes that were asked."""
        for client in self._clients.values():
            client.close()

    def _ask(self) -> None:
        asking = self.topology.asking()
        try:
            node = next(asking)
            while True:
                node = asking.send(self.reply(node, self.topology.command))
        except StopIteration:
            return

    def reply(self, node: Address, command: tuple[str, ...]) -> Any:
        """Return what a node answers, or the error in place of it."""
        client = self._clients.get(node) or self._client_of(node)
        self._clients[node] = client
        try:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py
        except REDIS_ERRORS as error:
            return error


class AsyncTopologyClient:
    """Asks the nodes where the primary is: one task at a time, at most twice a second."""

    def __init__(
        self, topology: Topology, client_of: Callable[[Address], redis.asyncio.Redis]
    ) -> None:
        self.topology = topology
        self._client_of = client_of
        self._clients: dict[Address, redis.asyncio.Redis] = {}
        self._locks: PerLoop[asyncio.Lock] = PerLoop(asyncio.Lock)

    async def now(self, slot: int) -> Address:
        """Return the node that serves a slot; raise redis-py's `ConnectionError` if it is unknown.

        While one task asks, the others go where the primary was.
        """
        known, lock = self.topology.address(slot), self._locks.here()
        if known is not None and (lock.locked() or not self.topology.is_due()):
            return known
        async with lock:
            if self.topology.is_due():
                await self._ask()
        return self.topology.address(slot) or _no_primary(self.topology)

    async def aclose(self) -> None:
        """Close the connections to the nodes that were asked."""
        for client in self._clients.values():
            await client.aclose()

    async def _ask(self) -> None:
        asking = self.topology.asking()
        try:
            node = next(asking)
            while True:
                node = asking.send(await self._reply(node))
        except StopIteration:
            return

    async def _reply(self, node: Address) -> Any:
        client = self._clients.get(node) or self._client_of(node)
        self._clients[node] = client
        try:
            return await client.execute_command(*self.topology.command)  # type: ignore[no-untyped-call]  # redis-py
        except REDIS_ERRORS as error:
            return error


class Primary(NamedTuple):
    """The primary of a slot, for a connection to follow."""

    topology_client: TopologyClient | AsyncTopologyClient
    slot: int

    def now(self) -> Any:
        """Return its address, for `AsyncTopologyClient` as an awaitable."""
        return self.topology_client.now(self.slot)

    def known(self) -> Address | None:
        """Return its address as far as it is known, without asking."""
        return self.topology_client.topology.address(self.slot)

    def moved(self, error: MovedError) -> None:
        """Store where the node that was asked says that the slot is."""
        known = self.known()
        host = error.host or (known.host if known else "")
        if host in ("", "?"):  # a node without a name; the others know its address
            self.mark_stale()
        else:
            self.topology_client.topology.moved(error.slot_id, Address(host, error.port))

    def mark_stale(self) -> None:
        """Have the nodes asked again before the next connection."""
        self.topology_client.topology.mark_stale()


# After a forced failover the old primary takes writes for seconds, and all of them are lost. So
# each loan compares addresses, not only each connect: docs/decisions/0007-own-sentinel-lookup.md
class FollowingConnection(AbstractConnection):
    """A synchronous connection that goes to where its primary is now."""

    host: str
    port: int

    def __init__(self, *, primary: Primary, **options: Any) -> None:
        self._primary = primary
        super().__init__(**options)

    def connect(self) -> None:
        """Connect; where the primary has moved, to its new address."""
        at: Address = self._primary.now()
        if (self.host, self.port) != at:
            self.disconnect()  # type: ignore[no-untyped-call]  # redis-py
            self.host, self.port = at
        try:
            super().connect()  # type: ignore[no-untyped-call]  # redis-py
        except REDIS_ERRORS:
            self._primary.mark_stale()
            raise

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply, and store where a slot has moved."""
        try:
            return super().read_response(*args, **options)
        except MovedError as error:
            self._primary.moved(error)
            raise


class AsyncFollowingConnection(AsyncAbstractConnection):
    """An asyncio connection that goes to where its primary is now."""

    host: str
    port: int

    def __init__(self, *, primary: Primary, **options: Any) -> None:
        self._primary = primary
        super().__init__(**options)

    async def connect(self) -> None:
        """Connect; where the primary has moved, to its new address."""
        at: Address = await self._primary.now()
        if (self.host, self.port) != at:
            await self.disconnect(nowait=True)
            self.host, self.port = at
        try:
            await super().connect()  # type: ignore[no-untyped-call]  # redis-py
        except REDIS_ERRORS:
            self._primary.mark_stale()
            raise

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply, and store where a slot has moved."""
        try:
            return await super().read_response(*args, **options)
        except MovedError as error:
            self._primary.moved(error)
            raise


def _no_primary(topology: Topology) -> Address:
    if topology.refusal:
        raise redis.AuthenticationError(f"no primary found: {topology.refusal}")
    raise redis.ConnectionError(f"no primary found: {topology.complaint}")
