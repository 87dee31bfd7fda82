"""Runs scripts: EVALSHA, with the source sent once to a server that does not know it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import NoScriptError, ResponseError

from galaxy_notify.errors import GalaxyNotifyError
from galaxy_notify.redis_state.connection import packed
from galaxy_notify.redis_state.faults import REDIS_ERRORS, Fault, Remedy, classify
from galaxy_notify.redis_state.scripts import Call, Read, Scripts


class RedisFault(GalaxyNotifyError):
    """A call to Redis failed; whether it took effect is unknown, and its scripts may run twice."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.code}: {fault.text}")
        self.fault = fault


def fault_of(error: BaseException) -> RedisFault:
    """Return the fault to raise in place of a Redis or network error."""
    return RedisFault(classify(error))


def unreadable(what: str, error: Exception) -> RedisFault:
    """Return the fault to raise for a reply of a shape that no script of ours answers."""
    text = f"{what} answered what cannot be read: {type(error).__name__}"
    return RedisFault(Fault("reply", Remedy.RETRY, text))


async def _execute(client: redis.asyncio.Redis, call: Call) -> Any:
    return await client.execute_command(*call.command)  # type: ignore[no-untyped-call]  # redis-py


def _execute_sync(client: redis.Redis, call: Call) -> Any:
    return client.execute_command(*call.command)  # type: ignore[no-untyped-call]  # redis-py


async def run(client: redis.asyncio.Redis, call: Call) -> Any:
    """Run one script and return its reply."""
    try:
        try:
            return await _execute(client, call)
        except NoScriptError:
            await client.script_load(call.script.source)
            return await _execute(client, call)
    except REDIS_ERRORS as error:
        raise fault_of(error) from error


async def run_all(client: redis.asyncio.Redis, calls: Sequence[Call | Read] | Scripts) -> list[Any]:
    """Run calls in one round trip; each reply stands at its call's place, or its fault."""
    try:
        if isinstance(calls, Scripts):
            replies, calls = await _stream(client, calls), calls.made
        else:
            replies = await _pipeline(client, calls)
        unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            for source in _sources(calls, unknown):
                await client.script_load(source)
            again = await _pipeline(client, [calls[i] for i in unknown])
            for i, reply in zip(unknown, again, strict=True):
                replies[i] = reply
    except REDIS_ERRORS as error:
        raise fault_of(error) from error
    return [fault_of(r) if isinstance(r, Exception) else r for r in replies]


async def _stream(client: redis.asyncio.Redis, scripts: Scripts) -> list[Any]:
    """Send each call as soon as it is made, so that the server works while the next one is."""
    pool: Any = client.connection_pool
    connection: Any = None
    try:
        for call in scripts:
            connection = connection or await pool.get_connection()
            await connection.send_packed_command(packed(call.command))
        return [await _reply(connection) for _ in scripts.made]
    except BaseException:
        # Replies that nobody has read must not be taken for those of the next call.
        if connection:
            await connection.disconnect(nowait=True)
        raise
    finally:
        if connection:
            await pool.release(connection)


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


async def _pipeline(client: redis.asyncio.Redis, calls: Sequence[Call | Read]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for call in calls:
        pipeline.execute_command(*call.command)
    replies: list[Any] = await pipeline.execute(raise_on_error=False)
    return replies


def _sources(calls: Sequence[Call | Read], places: Sequence[int]) -> set[str]:
    found = (calls[place] for place in places)
    return {call.script.source for call in found if isinstance(call, Call)}


def run_sync(client: redis.Redis, call: Call) -> Any:
    """Run one script and return its reply."""
    try:
        try:
            return _execute_sync(client, call)
        except NoScriptError:
            client.script_load(call.script.source)
            return _execute_sync(client, call)
    except REDIS_ERRORS as error:
        raise fault_of(error) from error


def run_all_sync(client: redis.Redis, calls: Sequence[Call | Read] | Scripts) -> list[Any]:
    """Run calls in one round trip; each reply stands at its call's place, or its fault."""
    try:
        if isinstance(calls, Scripts):
            replies, calls = _stream_sync(client, calls), calls.made
        else:
            replies = _pipeline_sync(client, calls)
        unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            for source in _sources(calls, unknown):
                client.script_load(source)
            again = _pipeline_sync(client, [calls[i] for i in unknown])
            for i, reply in zip(unknown, again, strict=True):
                replies[i] = reply
    except REDIS_ERRORS as error:
        raise fault_of(error) from error
    return [fault_of(r) if isinstance(r, Exception) else r for r in replies]


def _stream_sync(client: redis.Redis, scripts: Scripts) -> list[Any]:
    """Send each call as soon as it is made, so that the server works while the next one is."""
    pool: Any = client.connection_pool
    connection: Any = None
    try:
        for call in scripts:
            connection = connection or pool.get_connection()
            connection.send_packed_command(packed(call.command))
        replies = [_reply_sync(connection) for _ in scripts.made]
    except BaseException:
        # Replies that nobody has read must not be taken for those of the next call.
        if connection:
            connection.disconnect()
            pool.release(connection)
        raise
    if connection:
        pool.give_back(connection)
    return replies


def _reply_sync(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _pipeline_sync(client: redis.Redis, calls: Sequence[Call | Read]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for call in calls:
        pipeline.execute_command(*call.command)  # type: ignore[no-untyped-call]  # redis-py
    replies: list[Any] = pipeline.execute(raise_on_error=False)
    return replies
