"""Where the primary is now: asked of the nodes that know, when a connection is used."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, NamedTuple, TypeVar

import redis
import redis.asyncio
from redis.exceptions import MovedError

from galaxy_notify.redis_client.faults import REDIS_ERRORS
from galaxy_notify.redis_client.per_loop import PerLoop
from galaxy_notify.redis_client.topology import Address, Topology

C = TypeVar("C", redis.Redis, redis.asyncio.Redis)

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


class _TopologyClient(Generic[C]):
    """The clients of the nodes that can be asked, made at their first use."""

    def __init__(self, topology: Topology, client_of: Callable[[Address], C]) -> None:
        self.topology = topology
        self._client_of: Callable[[Address], C] = client_of
        self._clients: dict[Address, C] = {}

    def _client(self, node: Address) -> C:
        client = self._clients.get(node) or self._client_of(node)
        self._clients[node] = client
        return client


class TopologyClient(_TopologyClient[redis.Redis]):
    """Asks the nodes where the primary is: one thread at a time, at most twice a second."""

    def __init__(self, topology: Topology, client_of: Callable[[Address], redis.Redis]) -> None:
        super().__init__(topology, client_of)
        #: In the order of their turns; no lock, so an interrupted call leaves none held.
        self._searches: list[_Search] = []

    def now(self, slot: int) -> Address:
        """Return the node that serves a slot; raise redis-py's `ConnectionError` if it is unknown.

        While one thread asks, the others go where the primary was.
        """
        known = self.topology.address(slot)
        if known is not None and not self.topology.is_due():
            return known
        mine = _Search()
        try:
            while not self._may_begin(mine) and known is None:
                time.sleep(_PAUSE_S)
            if self._searches[:1] == [mine] and self.topology.is_due():
                self._ask()
        finally:
            self._end(mine)
        return self.topology.address(slot) or _no_primary(self.topology)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def reply(self, node: Address, command: tuple[str, ...]) -> Any:
        """Return what a node answers, or the error in place of it."""
        try:
            return self._client(node).execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py
        except REDIS_ERRORS as error:
            return error

    def _ask(self) -> None:
        asking = self.topology.asking()
        with suppress(StopIteration):
            node = next(asking)
            while True:
                node = asking.send(self.reply(node, self.topology.command))

    def _may_begin(self, mine: _Search) -> bool:
        """Return whether it is the caller's turn; else it waits in line."""
        for other in tuple(self._searches):
            if not other.counts:
                self._end(other)
        if mine not in self._searches:
            self._searches.append(mine)
        return self._searches[:1] == [mine]

    def _end(self, search: _Search) -> None:
        with suppress(ValueError):
            self._searches.remove(search)


class AsyncTopologyClient(_TopologyClient[redis.asyncio.Redis]):
    """Asks the nodes where the primary is: one task at a time, at most twice a second."""

    def __init__(
        self, topology: Topology, client_of: Callable[[Address], redis.asyncio.Redis]
    ) -> None:
        super().__init__(topology, client_of)
        self._locks: PerLoop[asyncio.Lock] = PerLoop(asyncio.Lock)

    async def now(self, slot: int) -> Address:
        """Return the node that serves a slot; see `TopologyClient.now`."""
        known, lock = self.topology.address(slot), self._locks.here()
        if known is not None and (lock.locked() or not self.topology.is_due()):
            return known
        async with lock:
            if self.topology.is_due():
                await self._ask()
        return self.topology.address(slot) or _no_primary(self.topology)

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def _ask(self) -> None:
        asking = self.topology.asking()
        with suppress(StopIteration):
            node = next(asking)
            while True:
                node = asking.send(await self._reply(node))

    async def _reply(self, node: Address) -> Any:
        try:
            return await self._client(node).execute_command(*self.topology.command)  # type: ignore[no-untyped-call]  # redis-py
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


def _no_primary(topology: Topology) -> Address:
    if topology.refusal:
        raise redis.AuthenticationError(f"no primary found: {topology.refusal}")
    raise redis.ConnectionError(f"no primary found: {topology.complaint}")
