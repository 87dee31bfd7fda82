"""Runs scripts: EVALSHA, with the source sent once to a server that does not know it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeAlias

import redis
import redis.asyncio
from redis.exceptions import NoScriptError, ResponseError

from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.faults import REDIS_ERRORS, RedisFault, fault_of
from galaxy_notify.redis_client.nodes import (
    AsyncNodesClient,
    NodeCalls,
    NodesClient,
    by_node,
    sole,
)
from galaxy_notify.redis_client.scripts import Command, ScriptCall, packed, packed_words

Calls: TypeAlias = Sequence[ScriptCall | Command]


class Ask(Protocol):
    """Runs calls in one round trip, as `run_all` does with its client."""

    async def __call__(self, calls: Calls, confirm: Confirmation | None = None) -> list[Any]: ...


async def run(
    client: redis.asyncio.Redis, call: ScriptCall, confirm: Confirmation | None = None
) -> Any:
    """Run one script and return its reply, once what it wrote is as safe as *confirm* wants."""
    return _sound(await run_all(client, [call], confirm))


def run_sync(client: redis.Redis, call: ScriptCall, confirm: Confirmation | None = None) -> Any:
    """Run one script and return its reply, once what it wrote is as safe as *confirm* wants."""
    return _sound(run_all_sync(client, [call], confirm))


async def run_all(
    client: redis.asyncio.Redis, calls: Calls, confirm: Confirmation | None = None
) -> list[Any]:
    """Run calls in one round trip to each node; for each call its reply, or its fault.

    Raises `RedisFault` where no node could be asked.
    """
    return await Round(client, confirm).replies(calls)


def run_all_sync(
    client: redis.Redis, calls: Calls, confirm: Confirmation | None = None
) -> list[Any]:
    """Run calls in one round trip to each node; see `run_all`."""
    return SyncRound(client, confirm).replies(calls)


_PLAIN: Final = frozenset({redis.Redis, redis.asyncio.Redis})


class _Round:
    """One round trip under way: calls are written as they are made, and answered together.

    It holds the connection on which replies are owed. So that no other call reads them, a round
    trip that is given up is dropped; one that is only forgotten never goes back to its pool.

    A write that fails is no error yet: the calls that were made are kept, nothing more is written,
    and `replies` raises the fault, as for a round trip that failed as a whole. In a cluster each
    call may belong to another node: there nothing is written before `replies`.
    """

    def __init__(self, client: Any, confirm: Confirmation | None = None) -> None:
        """Prepare; no connection is taken before there is something to write."""
        # To ask whether one of redis-py's clients is another class is slow: they are protocols.
        is_plain = type(client) in _PLAIN
        self._client: Any = client if is_plain else sole(client)
        self._is_cluster = not is_plain and isinstance(
            self._client, (NodesClient, AsyncNodesClient)
        )
        self._pool: Any = self._client.connection_pool
        self._confirm = confirm
        self._connection: Any = None
        self._fault: RedisFault | None = None
        #: All calls so far, in the order of their replies.
        self.calls: list[ScriptCall | Command] = []

    def drop(self) -> None:
        """Throw the connection away, if there is one: its unread replies are lost."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.discard(connection)

    def _failed(self, error: Exception) -> None:
        self._fault = fault_of(error)
        self.drop()


class SyncRound(_Round):
    """A round trip of a thread."""

    def send(self, call: ScriptCall) -> None:
        """Write a call; wait for a connection and for room in its socket, not for the reply."""
        self.calls.append(call)
        if self._fault is not None or self._is_cluster:
            return
        data = packed(call.command)
        try:
            self._write(data)
        except (*REDIS_ERRORS, RedisFault) as error:
            self._failed(error)

    def replies(self, calls: Calls = ()) -> list[Any]:
        """Write these calls too; return a reply, or a fault, for each of all calls.

        Raises `RedisFault` where no node could be asked, or a script could not be loaded.
        """
        self.calls += calls
        if self._fault is not None:
            raise self._fault
        if self._is_cluster:
            parts = by_node(self._client, self.calls)
            return _together(parts, [_tried_sync(part, self._confirm) for part in parts])
        replies: list[Any] = []
        try:
            replies = self._exchange(calls)
            if not any([isinstance(reply, Exception) for reply in replies]):
                return replies
            if unknown := _unknown_scripts(replies):
                self.calls = [self.calls[place] for place in unknown]
                for source in _sources(self.calls):
                    self._client.script_load(source)
                for place, reply in zip(unknown, self._exchange(self.calls), strict=True):
                    replies[place] = reply
        except (RedisFault, *REDIS_ERRORS) as error:
            cause = error.__cause__ if isinstance(error, RedisFault) else error
            raise _failed_after(replies, error) from cause
        return [fault_of(r) if isinstance(r, Exception) else r for r in replies]

    def _exchange(self, calls: Calls) -> list[Any]:
        """Write the last calls and read all replies; what was refused is an error in its place."""
        ending = self._confirm.ending(self.calls) if self._confirm else []
        try:
            self._write(_packed_together([*calls, *ending]))
            replies = [self._reply(call) for call in [*self.calls, *ending]]
        except BaseException:
            self.drop()
            raise
        connection, self._connection = self._connection, None
        self._pool.release(connection)
        if self._confirm and ending:
            return self._confirm.confirmed(self.calls, replies, ending)
        return replies

    def _write(self, data: list[bytes]) -> None:
        if self._connection is None:
            self._connection = self._pool.get_connection()
        self._connection.send_packed_command(data)

    def _reply(self, call: ScriptCall | Command) -> Any:
        try:
            if isinstance(call, ScriptCall):
                return self._connection.read_response()
            return self._client.parse_response(self._connection, call.command[0])
        except ResponseError as error:
            return error


class Round(_Round):
    """A round trip of a task."""

    async def send(self, call: ScriptCall) -> None:
        """Write a call; wait for a connection and for room in its socket, not for the reply."""
        if self.calls:
            # To make and pack a call may take milliseconds: others have their turn between.
            await asyncio.sleep(0)
        self.calls.append(call)
        if self._fault is not None or self._is_cluster:
            return
        data = packed(call.command)
        try:
            await self._write(data)
        except (*REDIS_ERRORS, RedisFault) as error:
            self._failed(error)

    async def replies(self, calls: Calls = ()) -> list[Any]:
        """Write these calls too, and return all replies; see `SyncRound.replies`."""
        self.calls += calls
        if self._fault is not None:
            raise self._fault
        if self._is_cluster:
            parts = by_node(self._client, self.calls)
            tried = (_tried(part, self._confirm) for part in parts)
            return _together(parts, await asyncio.gather(*tried))
        replies: list[Any] = []
        try:
            replies = await self._exchange(calls)
            if not any([isinstance(reply, Exception) for reply in replies]):
                return replies
            if unknown := _unknown_scripts(replies):
                self.calls = [self.calls[place] for place in unknown]
                for source in _sources(self.calls):
                    await self._client.script_load(source)
                for place, reply in zip(unknown, await self._exchange(self.calls), strict=True):
                    replies[place] = reply
        except (RedisFault, *REDIS_ERRORS) as error:
            cause = error.__cause__ if isinstance(error, RedisFault) else error
            raise _failed_after(replies, error) from cause
        return [fault_of(r) if isinstance(r, Exception) else r for r in replies]

    async def _exchange(self, calls: Calls) -> list[Any]:
        """Write the last calls and read all replies."""
        ending = self._confirm.ending(self.calls) if self._confirm else []
        try:
            await self._write(_packed_together((*calls, *ending)))
            replies = [await self._reply(call) for call in (*self.calls, *ending)]
        except BaseException:
            self.drop()
            raise
        connection, self._connection = self._connection, None
        await self._pool.release(connection)
        if self._confirm and ending:
            return self._confirm.confirmed(self.calls, replies, ending)
        return replies

    async def _write(self, data: list[bytes]) -> None:
        if self._connection is None:
            self._connection = await self._pool.get_connection()
        await self._connection.send_packed_command(data)

    async def _reply(self, call: ScriptCall | Command) -> Any:
        try:
            if isinstance(call, ScriptCall):
                return await self._connection.read_response()
            return await self._client.parse_response(self._connection, call.command[0])
        except ResponseError as error:
            return error


def _packed_together(calls: Calls) -> list[bytes]:
    """Return calls as one text: they leave in few packets."""
    if len(calls) == 1 and isinstance(calls[0], ScriptCall):
        return packed(calls[0].command)
    return [b"".join([piece for call in calls for piece in packed_words(*call.command)])]


def _unknown_scripts(replies: Sequence[Any]) -> list[int]:
    return [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]


def _failed_after(replies: Sequence[Any], error: Exception) -> RedisFault:
    """Return the fault of a round trip; its outcome is unknown if some of its scripts ran."""
    fault = fault_of(error, "a pipeline")
    some_ran = any(not isinstance(reply, NoScriptError) for reply in replies)
    return fault.with_unknown_outcome() if some_ran else fault


def _sources(calls: Calls) -> set[str]:
    return {call.script.source for call in calls if isinstance(call, ScriptCall)}


def _tried_sync(part: NodeCalls, confirm: Confirmation | None) -> list[Any] | RedisFault:
    try:
        return run_all_sync(part.client, part.calls, confirm)
    except RedisFault as fault:
        return fault


async def _tried(part: NodeCalls, confirm: Confirmation | None) -> list[Any] | RedisFault:
    try:
        return await run_all(part.client, part.calls, confirm)
    except RedisFault as fault:
        return fault


def _together(parts: Sequence[NodeCalls], tried: Sequence[list[Any] | RedisFault]) -> list[Any]:
    """Return all replies in order; what a node did not answer is a fault at each place."""
    faults = [answer for answer in tried if isinstance(answer, RedisFault)]
    if faults and len(faults) == len(tried):
        raise faults[0]
    replies: dict[int, Any] = {}
    for part, answer in zip(parts, tried, strict=True):
        found = [answer] * len(part.places) if isinstance(answer, RedisFault) else answer
        replies |= zip(part.places, found, strict=True)
    return [replies[place] for place in range(len(replies))]


def _sound(replies: Sequence[Any]) -> Any:
    (reply,) = replies
    if isinstance(reply, RedisFault):
        raise reply
    return reply
