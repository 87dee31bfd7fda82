"""Runs scripts: EVALSHA, with the source sent once to a server that does not know it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import NoScriptError, ResponseError

from galaxy_notify.redis_client.confirmation import confirmed, ending_of
from galaxy_notify.redis_client.durability import Confirm
from galaxy_notify.redis_client.faults import REDIS_ERRORS, RedisFault, as_fault, fault_of
from galaxy_notify.redis_client.nodes import (
    AsyncNodesClient,
    NodesClient,
    Part,
    by_node,
    serving,
    sole,
)
from galaxy_notify.redis_client.packing import packed
from galaxy_notify.redis_client.scripts import Call, Read, Scripts


async def _execute(client: redis.asyncio.Redis, call: Call) -> Any:
    return await client.execute_command(*call.command)  # type: ignore[no-untyped-call]  # redis-py


def _execute_sync(client: redis.Redis, call: Call) -> Any:
    return client.execute_command(*call.command)  # type: ignore[no-untyped-call]  # redis-py


async def run(client: redis.asyncio.Redis, call: Call, confirm: Confirm | None = None) -> Any:
    """Run one script and return its reply, once what it wrote is as safe as *confirm* wants."""
    client = serving(client, call.command)
    if confirm:
        return _sound(await run_all(client, [call], confirm))
    with as_fault(call.script.name):
        try:
            return await _execute(client, call)
        except NoScriptError:
            await client.script_load(call.script.source)
            return await _execute(client, call)


async def run_all(
    client: redis.asyncio.Redis,
    calls: Sequence[Call | Read] | Scripts,
    confirm: Confirm | None = None,
) -> list[Any]:
    """Run calls in one round trip to each node; for each call its reply, or its fault.

    Raises `RedisFault` where no node could be asked.
    """
    client = sole(client)
    if isinstance(client, AsyncNodesClient):
        parts = by_node(client, list(calls))
        tried = (_tried(part.client, part.calls, confirm) for part in parts)
        return _together(parts, await asyncio.gather(*tried))
    try:
        if isinstance(calls, Scripts):
            replies, calls = await _stream(client, calls, confirm), calls.made
        else:
            replies = await _pipeline(client, calls, confirm)
        unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            for source in _sources(calls, unknown):
                await client.script_load(source)
            again = await _pipeline(client, [calls[i] for i in unknown], confirm)
            for i, reply in zip(unknown, again, strict=True):
                replies[i] = reply
    except REDIS_ERRORS as error:
        raise fault_of(error) from error
    return [fault_of(r) if isinstance(r, Exception) else r for r in replies]


async def _tried(
    client: redis.asyncio.Redis, calls: Sequence[Call | Read], confirm: Confirm | None
) -> list[Any] | RedisFault:
    try:
        return await run_all(client, calls, confirm)
    except RedisFault as fault:
        return fault


async def _stream(
    client: redis.asyncio.Redis, scripts: Scripts, confirm: Confirm | None
) -> list[Any]:
    """Send each call as soon as it is made, so that the server works while the next one is."""
    pool: Any = client.connection_pool
    connection: Any = None
    try:
        for call in scripts:
            if connection:
                # To make and pack a call may take milliseconds: others have their turn between.
                await asyncio.sleep(0)
            connection = connection or await pool.get_connection()
            await connection.send_packed_command(packed(call.command))
        ending = ending_of(scripts.made, confirm)
        for read in ending:
            await connection.send_packed_command(packed((*read.command,)))
        replies = [await _reply(connection) for _ in (*scripts.made, *ending)]
    except BaseException:
        # Replies that nobody has read must not be taken for those of the next call.
        if connection:
            await connection.disconnect(nowait=True)
            await pool.release(connection)
        raise
    if connection:
        await pool.release(connection)
    return confirmed(scripts.made, replies, ending, confirm)


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


async def _pipeline(
    client: redis.asyncio.Redis, calls: Sequence[Call | Read], confirm: Confirm | None
) -> list[Any]:
    pool: Any = client.connection_pool
    ending = ending_of(calls, confirm)
    commands = [tuple(call.command) for call in (*calls, *ending)]
    with as_fault("a pipeline"):
        connection = await pool.get_connection()
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            replies = [await _parsed(client, connection, command[0]) for command in commands]
        except BaseException:
            await connection.disconnect(nowait=True)
            await pool.release(connection)
            raise
        await pool.release(connection)
    return confirmed(calls, replies, ending, confirm)


async def _parsed(client: redis.asyncio.Redis, connection: Any, name: str) -> Any:
    try:
        return await client.parse_response(connection, name)
    except ResponseError as error:
        return error


def _sources(calls: Sequence[Call | Read], places: Sequence[int]) -> set[str]:
    found = (calls[place] for place in places)
    return {call.script.source for call in found if isinstance(call, Call)}


def run_sync(client: redis.Redis, call: Call, confirm: Confirm | None = None) -> Any:
    """Run one script and return its reply, once what it wrote is as safe as *confirm* wants."""
    client = serving(client, call.command)
    if confirm:
        return _sound(run_all_sync(client, [call], confirm))
    with as_fault(call.script.name):
        try:
            return _execute_sync(client, call)
        except NoScriptError:
            client.script_load(call.script.source)
            return _execute_sync(client, call)


def run_all_sync(
    client: redis.Redis, calls: Sequence[Call | Read] | Scripts, confirm: Confirm | None = None
) -> list[Any]:
    """Run calls in one round trip to each node; see `run_all`."""
    client = sole(client)
    if isinstance(client, NodesClient):
        parts = by_node(client, list(calls))
        tried = [_tried_sync(part.client, part.calls, confirm) for part in parts]
        return _together(parts, tried)
    try:
        if isinstance(calls, Scripts):
            replies, calls = _stream_sync(client, calls, confirm), calls.made
        else:
            replies = _pipeline_sync(client, calls, confirm)
        unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            for source in _sources(calls, unknown):
                client.script_load(source)
            again = _pipeline_sync(client, [calls[i] for i in unknown], confirm)
            for i, reply in zip(unknown, again, strict=True):
                replies[i] = reply
    except REDIS_ERRORS as error:
        raise fault_of(error) from error
    return [fault_of(r) if isinstance(r, Exception) else r for r in replies]


def _tried_sync(
    client: redis.Redis, calls: Sequence[Call | Read], confirm: Confirm | None
) -> list[Any] | RedisFault:
    try:
        return run_all_sync(client, calls, confirm)
    except RedisFault as fault:
        return fault


def _stream_sync(client: redis.Redis, scripts: Scripts, confirm: Confirm | None) -> list[Any]:
    """Send each call as soon as it is made, so that the server works while the next one is."""
    pool: Any = client.connection_pool
    connection: Any = None
    try:
        for call in scripts:
            connection = connection or pool.get_connection()
            connection.send_packed_command(packed(call.command))
        ending = ending_of(scripts.made, confirm)
        for read in ending:
            connection.send_packed_command(packed(tuple(read.command)))
        replies = [_reply_sync(connection) for _ in (*scripts.made, *ending)]
    except BaseException:
        # Replies that nobody has read must not be taken for those of the next call.
        if connection:
            connection.disconnect()
            pool.release(connection)
        raise
    if connection:
        pool.release(connection)
    return confirmed(scripts.made, replies, ending, confirm)


def _reply_sync(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _pipeline_sync(
    client: redis.Redis, calls: Sequence[Call | Read], confirm: Confirm | None
) -> list[Any]:
    pool: Any = client.connection_pool
    ending = ending_of(calls, confirm)
    commands = [tuple(call.command) for call in (*calls, *ending)]
    with as_fault("a pipeline"):
        connection = pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            replies = [_parsed_sync(client, connection, command[0]) for command in commands]
        except BaseException:
            connection.disconnect()
            pool.release(connection)
            raise
        pool.release(connection)
    return confirmed(calls, replies, ending, confirm)


def _parsed_sync(client: redis.Redis, connection: Any, name: str) -> Any:
    try:
        return client.parse_response(connection, name)  # type: ignore[no-untyped-call]  # redis-py
    except ResponseError as error:
        return error


def _together(parts: Sequence[Part], tried: Sequence[list[Any] | RedisFault]) -> list[Any]:
    """Return all replies in order; what a node did not answer is a fault at each place."""
    if tried and all(isinstance(answer, RedisFault) for answer in tried):
        assert isinstance(tried[0], RedisFault)
        raise tried[0]
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
