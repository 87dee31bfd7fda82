"""Pools of connections for asyncio: each event loop has its own, and tasks wait in line."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import redis.asyncio

from galaxy_notify.redis_client.faults import GARBLED, REDIS_ERRORS
from galaxy_notify.redis_client.pools import LOOK_S, LOOKS, Stock, busy, unanswered
from galaxy_notify.redis_client.still_agreed import is_as_planned


class AsyncPool(redis.asyncio.ConnectionPool):
    """Lends connections to tasks, in the order in which they came; any number of loops may ask.

    The connections of a loop are closed when it ends.
    """

    def __init__(self, *, max_waiting: int, **options: Any) -> None:
        self._max_waiting = max_waiting
        self._shares: dict[asyncio.AbstractEventLoop, Share] = {}
        super().__init__(**options)

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return a connection that is connected; wait for it in line.

        Raises `RedisFault` with the code ``busy`` where too many wait, and redis-py's errors.
        """
        loop = asyncio.get_running_loop()
        share = self._shares.get(loop) or await self._begin(loop)
        connection = await share.connection()
        try:
            await _connect(connection)
        except BaseException:
            self.discard(connection)
            raise
        return connection

    async def release(self, connection: Any) -> None:
        """Take a connection back from redis-py, which says nothing of how its call ended."""
        if connection.is_clean:
            self.put(connection)
        else:
            self.discard(connection)

    def put(self, connection: Any) -> None:
        """Take a connection back whose calls were all answered."""
        share = self._shares.get(asyncio.get_running_loop())
        if share is None or connection.is_lost:
            connection.drop()
        else:
            connection.owed = 0
            share.put(connection)

    def discard(self, connection: Any) -> None:
        """Throw a connection away; another one may be made."""
        connection.drop()
        share = self._shares.get(asyncio.get_running_loop())
        if share is not None:
            share.forget(connection)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Throw away all connections of this loop, or only the idle ones."""
        share = self._shares.get(asyncio.get_running_loop())
        if share is not None:
            share.clear(lent=inuse_connections)

    async def aclose(self) -> None:
        """Close all connections, those of other loops as well."""
        here = asyncio.get_running_loop()
        for loop in list(self._shares):
            share = self._shares.pop(loop, None)
            if share is None:
                continue  # another thread closes it
            if loop is here:
                await share.close()
            elif loop.is_closed():
                share.abandon()
            else:
                loop.call_soon_threadsafe(share.clear)

    async def _begin(self, loop: asyncio.AbstractEventLoop) -> Share:
        """Make the share of a loop, and leave what is left of loops that are closed."""
        for other in [other for other in list(self._shares) if other.is_closed()]:
            left = self._shares.pop(other, None)
            if left is not None:
                left.abandon()
        stock = Stock(self.make_connection, self.max_connections)
        share = self._shares[loop] = Share(loop, stock, self._max_waiting)
        await share.open()
        return share


async def _connect(connection: Any) -> None:
    if connection.is_connected:
        try:
            is_stale = await connection.can_read()
        except (*REDIS_ERRORS, *GARBLED):  # closed meanwhile, it has no stream any more
            is_stale = True
        if is_stale or not is_as_planned(connection):
            connection.drop()
        elif connection.primary is None:
            return
    await connection.connect()


class Share:
    """The connections of one event loop, and who waits for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stock: Stock, max_waiting: int) -> None:
        self._loop = loop
        self._stock = stock
        self._max_waiting = max_waiting
        #: Who waits, in order, and how many looks there had been when it began to.
        self._line: OrderedDict[asyncio.Future[Any], int] = OrderedDict()
        self._watch: asyncio.TimerHandle | None = None
        self._looks = self._quiet = self._answers = 0
        self._lent = stock.lent_now()
        self._until_the_end = _until_the_end(stock)

    async def open(self) -> None:
        """Have the connections closed when the loop ends, which ends its generators first."""
        await anext(self._until_the_end)

    async def close(self) -> None:
        await self._until_the_end.aclose()
        self.clear()

    async def connection(self) -> Any:
        """Return a connection, after those who came before."""
        if not self._line and (connection := self._stock.take()) is not None:
            return connection
        if len(self._line) >= self._max_waiting:
            raise busy(self._max_waiting)
        given: asyncio.Future[Any] = self._loop.create_future()
        self._line[given] = self._looks
        if self._watch is None:
            self._answers, self._quiet, self._lent = self._stock.answers, 0, self._stock.lent_now()
            self._watch = self._loop.call_later(LOOK_S, self._look)
        try:
            return await given
        except BaseException:
            self._leave(given)
            raise

    def put(self, connection: Any) -> None:
        """Take a connection back that is ready for another call."""
        self._stock.put(connection)
        self._serve()

    def forget(self, connection: Any) -> None:
        """Release the place of a connection, so that another one can be made."""
        self._stock.forget(connection)
        self._serve()

    def clear(self, *, lent: bool = True) -> None:
        """Throw away all connections, or only the idle ones."""
        for connection in {*self._stock.empty(), *(self._stock.all() if lent else ())}:
            connection.drop()
            self._stock.forget(connection)
        self._serve()

    def abandon(self) -> None:
        """End the connections of a loop that is closed: it can do nothing for them any more."""
        for connection in self._stock.all():
            connection.abandon()

    def _leave(self, given: asyncio.Future[Any]) -> None:
        self._line.pop(given, None)
        if given.done() and not given.cancelled() and given.exception() is None:
            self.put(given.result())

    def _serve(self) -> None:
        """Give free connections to the waiting callers, in the order of their calls."""
        while self._line:
            given = next(iter(self._line))
            if given.done():
                del self._line[given]
            elif (connection := self._stock.take()) is not None:
                del self._line[given]
                given.set_result(connection)
            else:
                return

    def _look(self) -> None:
        """Send those away who wait while the server answers nothing."""
        self._watch = None
        self._serve()
        answers = self._stock.answers
        self._looks += 1
        self._quiet += 1
        if answers != self._answers:
            self._answers, self._quiet, self._lent = answers, 0, self._stock.lent_now()
        elif self._quiet >= LOOKS and self._stock.write_off(self._lent):
            self._serve()
        elif self._quiet >= LOOKS:
            self._send_away()
        if self._line:
            self._watch = self._loop.call_later(LOOK_S, self._look)

    def _send_away(self) -> None:
        for given, looks in list(self._line.items()):
            if self._looks - looks < LOOKS:
                return
            del self._line[given]
            if not given.done():
                given.set_exception(unanswered())


async def _until_the_end(stock: Stock) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        for connection in stock.all():
            with suppress(*REDIS_ERRORS):
                await connection.disconnect()
