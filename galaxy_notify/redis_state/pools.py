"""Pools of connections: what is lent is not closed, and what is closed is not lent."""

from __future__ import annotations

import os
from contextlib import suppress
from queue import Empty
from typing import Any, Final

import redis
import redis.asyncio

from galaxy_notify.redis_state.faults import REDIS_ERRORS
from galaxy_notify.redis_state.following import Follows


class AsyncPool(redis.asyncio.BlockingConnectionPool):
    """Closes idle connections without a pause in which one of them could be lent.

    redis-py's own pool closes them in tasks, and with them what was lent since.
    """

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect all, or only those that nobody uses."""
        if inuse_connections:
            await super().disconnect()
            return
        for connection in tuple(self._available_connections):
            if connection in self._available_connections:
                await connection.disconnect(nowait=True)


class KeepingPool(redis.BlockingConnectionPool):
    """Keeps some connections at hand: a loan of redis-py's costs half a short round trip."""

    _AT_HAND: Final = 4

    def __init__(self, **options: Any) -> None:
        self._at_hand: list[Any] = []
        # One for each thread that waits for the pool; a list, because threads share it.
        self._waiting: list[None] = []
        super().__init__(**options)  # type: ignore[no-untyped-call]  # redis-py

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return a connection; what was closed meanwhile connects again when it is used."""
        try:
            connection = self._at_hand.pop()
        except IndexError:
            return self._wait()
        if connection.pid != os.getpid():
            self._at_hand.clear()
            return self._wait()
        try:
            usable = not connection.can_read()
        except REDIS_ERRORS:
            usable = False
        if not usable:
            connection.disconnect()
        if isinstance(connection, Follows):
            self._follow(connection)
        return connection

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect all, or only those that nobody uses; other threads wait for those."""
        with suppress(IndexError):
            while True:
                connection = self._at_hand.pop()
                if connection.pid == os.getpid():
                    try:
                        connection.disconnect()
                    finally:
                        self.release(connection)  # type: ignore[no-untyped-call]  # redis-py
        if inuse_connections:
            super().disconnect()
        else:
            self._disconnect_idle()

    def give_back(self, connection: Any) -> None:
        """Take a sound connection back; what is waited for or too many goes to the pool."""
        if self._waiting or len(self._at_hand) >= self._AT_HAND:
            self.release(connection)  # type: ignore[no-untyped-call]  # redis-py
        else:
            self._at_hand.append(connection)

    def _disconnect_idle(self) -> None:
        """Close what is in the pool, taken from there meanwhile: nobody can be lent it."""
        self._checkpid()
        idle: list[Any] = []
        try:
            with suppress(Empty):
                while True:
                    idle.append(self.pool.get_nowait())
            for connection in idle:
                if connection is not None:
                    connection.disconnect()
        finally:
            # Whatever interrupts it, none is lost to the pool.
            for connection in reversed(idle):
                self.pool.put_nowait(connection)

    def _follow(self, connection: Follows) -> None:
        try:
            connection.connect()
        except BaseException:
            self.release(connection)  # type: ignore[no-untyped-call]  # redis-py
            raise

    def _wait(self) -> Any:
        self._waiting.append(None)
        try:
            return super().get_connection()  # type: ignore[no-untyped-call]  # redis-py
        finally:
            self._waiting.pop()
