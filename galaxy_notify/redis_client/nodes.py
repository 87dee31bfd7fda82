"""Clients of Sentinel and Cluster deployments: each command goes to the primary that serves it.

A client of a single server is redis-py's own; `serving` and `at_shard` take either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import redis
import redis.asyncio
from redis.exceptions import MovedError

from galaxy_notify.redis_client.faults import REDIS_ERRORS
from galaxy_notify.redis_client.scripts import Command, ScriptCall, tag_in
from galaxy_notify.redis_client.topology import ClusterTopology, slot_of

C = TypeVar("C", redis.Redis, redis.asyncio.Redis)


# redis-py's cluster client repeats calls by itself, and WAIT must share its write's connection:
# docs/decisions/0006-own-cluster-routing.md
class _ClientOfNodes(Generic[C]):
    """Has a client for the node of each slot, made at its first use.

    What names no key goes to the node of *tag*.
    """

    def __init__(self, topology_client: Any, tag: str, client_of: Callable[[int], C]) -> None:
        self.topology_client = topology_client
        #: Whether there may be several nodes; Sentinel has one primary at a time.
        self.is_cluster = isinstance(topology_client.topology, ClusterTopology)
        self._tag = tag
        self._client_of: Callable[[int], C] = client_of
        self._clients: dict[int, C] = {}
        pool = self.of(tag).connection_pool
        super().__init__(connection_pool=pool)  # type: ignore[call-arg]  # of redis-py's client

    def of(self, tag: str) -> C:
        """Return the client of what carries a hash tag."""
        slot = slot_of(tag) if self.is_cluster else 0
        if slot not in self._clients:
            # Two threads that come here at once must both go on with the same one.
            self._clients.setdefault(slot, self._client_of(slot))
        return self._clients[slot]

    def serving(self, command: Sequence[Any]) -> C:
        """Return the client of the node that a command goes to."""
        return self.of(tag_in(command) or self._tag)

    @property
    def used(self) -> list[C]:
        """Return the clients of the nodes that were used so far."""
        return list(self._clients.values())

    def pipeline(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: commands of one pipeline may belong to several nodes."""
        raise TypeError("a pipeline goes to one node: use the client of its shard")


class NodesClient(_ClientOfNodes[redis.Redis], redis.Redis):
    """A client that finds out by the hash tag which node a command goes to."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        client: Any = self.serving(args)
        try:
            return client.execute_command(*args, **options)
        except MovedError:  # it did nothing, and has said where to go
            return client.execute_command(*args, **options)

    def close(self) -> None:
        for client in self.used:
            client.close()
        self.topology_client.close()


class AsyncNodesClient(  # type: ignore[misc]  # redis-py's own bases differ
    _ClientOfNodes[redis.asyncio.Redis], redis.asyncio.Redis
):
    """`NodesClient` for asyncio."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        client: Any = self.serving(args)
        try:
            return await client.execute_command(*args, **options)
        except MovedError:  # it did nothing, and has said where to go
            return await client.execute_command(*args, **options)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        for client in self.used:
            await client.aclose(close_connection_pool)
        await self.topology_client.aclose()


def serving(client: C, command: Sequence[Any]) -> C:
    """Return the client that a command goes to."""
    if isinstance(client, (NodesClient, AsyncNodesClient)):
        return client.serving(command)
    return client


def at_shard(client: C, tag: str) -> C:
    """Return the client of the node that has the keys with a hash tag, for what is its alone."""
    if isinstance(client, (NodesClient, AsyncNodesClient)):
        return client.of(tag)
    return client


def node_of(client: redis.Redis | redis.asyncio.Redis) -> str:
    """Return where the primary is that a shard's client follows; empty for a fixed server."""
    primary = client.connection_pool.connection_kwargs.get("primary")
    return str(primary.known() or "") if primary else ""


async def refresh_primary(client: redis.asyncio.Redis) -> None:
    """Drop the idle connections to every node, and look the primaries up again."""
    for one in client.used if isinstance(client, AsyncNodesClient) else (client,):
        _mark_stale(one)
        # One that can't even be closed in time is no loss.
        with suppress(*REDIS_ERRORS):
            await one.connection_pool.disconnect(inuse_connections=False)


def refresh_primary_sync(client: redis.Redis) -> None:
    """Drop the idle connections to every node, and look the primaries up again."""
    for one in client.used if isinstance(client, NodesClient) else (client,):
        _mark_stale(one)
        with suppress(*REDIS_ERRORS):
            one.connection_pool.disconnect(inuse_connections=False)


def _mark_stale(client: redis.Redis | redis.asyncio.Redis) -> None:
    primary = client.connection_pool.connection_kwargs.get("primary")
    if primary is not None:
        primary.mark_stale()


def sole(client: C) -> C:
    """Return the client of the only node there is, or the given one where there are more."""
    if isinstance(client, (NodesClient, AsyncNodesClient)) and not client.is_cluster:
        return client.serving(())
    return client


class NodeCalls(NamedTuple):
    """What goes to one node: its client, the calls, and their places among all."""

    client: Any
    calls: list[ScriptCall | Command]
    places: list[int]


def by_node(
    client: NodesClient | AsyncNodesClient, calls: Sequence[ScriptCall | Command]
) -> list[NodeCalls]:
    """Group calls by the node that runs them, as far as it is known."""
    found: dict[Any, NodeCalls] = {}
    for place, call in enumerate(calls):
        serving = client.serving(call.command)
        part = found.setdefault(node_of(serving) or serving, NodeCalls(serving, [], []))
        part.calls.append(call)
        part.places.append(place)
    return list(found.values())
