"""Connections to Postgres, few and bounded, and transactions on them.

There is no pool in the background: a call connects where no connection is idle, so an outage and a
wrong password reach the call that meets them, at once and with their reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any, Final, TypeVar

import psycopg
from psycopg import conninfo

from galaxy_notify.errors import AlreadyClosed, OtherEventLoop
from galaxy_notify.feed_store.faults import POSTGRES_ERRORS, Kind, busy, error_for, kind_of, late
from galaxy_notify.settings.feed import FeedSettings

T = TypeVar("T")
Connection = psycopg.AsyncConnection[Any]

_CONNECTIONS: Final = 4
_CONNECT_S: Final = 5
#: Beside the time-out that Postgres enforces: what a reply may take on its way.
_GRACE_S: Final = 2.0
_TRIES: Final = 5
_OPTIONS: Final[dict[str, str | int]] = {
    "application_name": "galaxy-notify",
    "client_encoding": "utf8",
    "connect_timeout": _CONNECT_S,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
# Nothing of a session is used, so that PgBouncer may give each transaction another connection; nor
# is the level of isolation that a database has been given: each statement is to see what others
# have committed while this one waited for its locks.
_BEGIN: Final = (
    "BEGIN; SET LOCAL transaction_isolation = 'read committed';"
    " SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock};"
    " SET LOCAL idle_in_transaction_session_timeout = {statement}"
)


class Late(Exception):
    """Postgres did not reply in time."""


class Connected(psycopg.AsyncConnection[Any]):
    """A connection on which no wait for a reply is endless, also while the server is frozen.

    Nothing is cancelled: a connection whose reply is late is dropped.
    """

    reply_s: float = 10.0

    async def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a call of libpq; raise `Late` where the reply is late."""
        return await super().wait(self._in_time(gen), *args, **kwargs)

    def _in_time(self, gen: Any) -> Generator[Any, Any, Any]:
        # It is resumed several times a second, also where nothing has arrived.
        deadline = monotonic() + self.reply_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and monotonic() > deadline:
                    raise Late
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value


class Database:
    """A Postgres of one process and event loop: at most four connections, opened when needed.

    *url* is used in place of an ``embedded`` one in the settings.
    """

    def __init__(self, feed: FeedSettings, url: str | None = None) -> None:
        self._feed = feed
        self._url = url or feed.url
        self._statement_ms = feed.statement_timeout_ms
        self._reply_s = feed.statement_timeout_ms / 1000 + _GRACE_S
        self._free = asyncio.Semaphore(_CONNECTIONS)
        self._idle: list[Connected] = []
        self._running: set[asyncio.Future[Any]] = set()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def server(self) -> str:
        """Return user, server and database for texts, without the password."""
        given = conninfo.conninfo_to_dict(self._url)
        where = f"{given.get('host') or 'local socket'}:{given.get('port') or 5432}"
        return f"user {given.get('user') or 'of this process'} at {where}/{given.get('dbname')}"

    async def close(self) -> None:
        """Close all connections, behind the calls on them; repeatable."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)
        self._drop_idle()

    async def run(
        self, work: Callable[[Connection], Awaitable[T]], *, lock_timeout_ms: int | None = None
    ) -> T:
        """Return the result of *work*, which runs in a transaction, COMMIT included.

        The work may run several times: a transaction that Postgres ended for a deadlock is run
        again. It is not stopped where the caller is cancelled. A lock is waited for until the
        statement's time-out; with *lock_timeout_ms* for as long, or half of that time-out if it is
        shorter. Raises `FeedUnavailable`, `FeedRefused` and `Misconfigured`.
        """
        # Else the statement's time-out came first, which looks like an outage.
        lock_ms = min(lock_timeout_ms or 0, self._statement_ms // 2)
        return await self._call(lambda: self._once(work, lock_ms))

    async def read(self, query: bytes, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Return the rows of a query that changes nothing, as `run` would, in one round trip.

        Its values become part of its text, as literals: what Postgres keeps as bytes comes back as
        text of twice the length. Raises as `run`.
        """
        return await self._call(lambda: self._read(query, values))

    async def _call(self, once: Callable[[], Awaitable[T]]) -> T:
        if self._closed:
            raise AlreadyClosed.named("feed store")
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise OtherEventLoop.named("feed store")
        self._loop = loop
        task = loop.create_task(self._tried(once))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone

    async def _tried(self, once: Callable[[], Awaitable[T]]) -> T:
        async with self._place():
            for left in reversed(range(_TRIES)):
                try:
                    return await once()
                except Late:
                    raise late(self.server, self._reply_s) from None
                except POSTGRES_ERRORS as error:
                    # Not as its cause: that shows the contents of a refused row.
                    if kind_of(error) is not Kind.AGAIN or not left:
                        raise error_for(error, self.server) from None
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for one of the connections to be free."""
        try:
            await asyncio.wait_for(self._free.acquire(), self._reply_s)
        except TimeoutError:
            raise busy(self.server, self._reply_s) from None
        try:
            yield
        finally:
            self._free.release()

    async def _once(self, work: Callable[[Connection], Awaitable[T]], lock_ms: int) -> T:
        connection = await self._begin(lock_ms)
        try:
            result = await work(connection)
            await connection.execute("COMMIT")
        except BaseException as error:
            await self._give_up(connection, error)
            raise
        self._idle.append(connection)
        return result

    async def _begin(self, lock_ms: int) -> Connected:
        """Return a connection in a transaction.

        An idle connection may have been closed by the server meanwhile. That shows here, before
        anything is sent that changes something, and a new connection is used.
        """
        begin = self._beginning(lock_ms)
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.execute(begin)
            except POSTGRES_ERRORS:
                await connection.close()
                self._drop_idle()
            except BaseException:
                # Also where the reply is late: the others lead to the same server.
                await connection.close()
                self._drop_idle()
                raise
            else:
                return connection
        connection = await self._connect()
        try:
            await connection.execute(begin)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _read(self, query: bytes, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        whole = b";\n".join([self._beginning(0), query, b"COMMIT"])
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._rows(connection, whole, values)
            except POSTGRES_ERRORS:
                # The server has closed it meanwhile: what reads may be sent again.
                if not connection.closed:
                    raise
        return await self._rows(await self._connect(), whole, values)

    async def _rows(
        self, connection: Connected, whole: bytes, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """Return the rows of the one statement of a transaction that has any."""
        try:
            cursor = psycopg.AsyncClientCursor(connection)
            await cursor.execute(whole, values)
            while cursor.description is None and cursor.nextset():
                pass
            rows = await cursor.fetchall()
        except BaseException as error:
            await self._give_up(connection, error)
            raise
        self._idle.append(connection)
        return rows

    def _beginning(self, lock_ms: int) -> bytes:
        return _BEGIN.format(statement=self._statement_ms, lock=lock_ms).encode()

    async def _connect(self) -> Connected:
        # Read again for each connection, so a password that was changed is the next one's.
        password = self._feed.current_password()
        secret = {} if password is None else {"password": password}
        connection = await Connected.connect(
            conninfo.make_conninfo(self._url, **_OPTIONS, **secret),
            autocommit=True,
            prepare_threshold=None,
        )
        connection.reply_s = self._reply_s
        return connection

    async def _give_up(self, connection: Connected, error: BaseException) -> None:
        """Roll back; drop the connection, and idle ones, where the server may be another now."""
        state = getattr(error, "sqlstate", None)
        if not connection.closed and not isinstance(error, Late):
            with suppress(Late, *POSTGRES_ERRORS):
                await connection.execute("ROLLBACK")
                if state != "25006":
                    self._idle.append(connection)
                    return
        await connection.close()
        self._drop_idle()

    def _drop_idle(self) -> None:
        for connection in self._idle:
            connection.pgconn.finish()
        self._idle.clear()
