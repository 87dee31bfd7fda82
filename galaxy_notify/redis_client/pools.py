"""Pools of connections: callers beyond their number wait in line, for as long as Redis answers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final
from weakref import ref

import redis

from galaxy_notify.redis_client.faults import BUSY, GARBLED, REDIS_ERRORS, Fault, RedisFault, Remedy
from galaxy_notify.redis_client.still_agreed import is_as_planned

#: How often a waiting caller checks whether the server still answers, in seconds.
LOOK_S: Final = 0.25
#: It gives up after this many checks without a reply on any connection. Those that are lent would
#: have timed out by then, so the server is away, and to wait longer would only hide that.
LOOKS: Final = 12


def busy(most: int) -> RedisFault:
    """Return the fault to raise where too many wait; nothing was sent."""
    text = f"{most} calls already wait for a connection (redis.max_waiting)"
    return RedisFault(Fault(BUSY, Remedy.RETRY, text))


def unanswered() -> redis.TimeoutError:
    """Return the error for one who waited in vain; nothing was sent."""
    return redis.TimeoutError(
        f"no free connection: Redis did not answer within {LOOK_S * LOOKS:g} s"
    )


# No lock guards a stock, so none is left held where a signal handler raises: each step is one
# operation of the interpreter. What is lent counts for as long as the object lives; one that an
# interrupted call dropped is made up for as soon as it is gone.
class Stock:
    """Makes connections up to a limit, and keeps the idle ones."""

    def __init__(self, make: Callable[[], Any], most: int) -> None:
        """Prepare an empty stock; *make* returns a connection that is not connected yet."""
        self._make = make
        self._most = most
        self._at_hand: list[Any] = []
        self._living: list[ref[Any]] = []

    def take(self) -> Any | None:
        """Return a connection, the last one that was put back or a new one; None at the limit."""
        try:
            return self._at_hand.pop()
        except IndexError:
            return self._new()

    def put(self, connection: Any) -> None:
        """Keep a connection that is ready for another call."""
        self._at_hand.append(connection)

    def forget(self, connection: Any) -> None:
        """Release the place of a connection, so that another one can be made."""
        with suppress(ValueError):
            self._living.remove(ref(connection))

    def empty(self) -> list[Any]:
        """Return all that were at hand; they are no longer."""
        found: list[Any] = []
        with suppress(IndexError):
            while True:
                found.append(self._at_hand.pop())
        return found

    def all(self) -> list[Any]:
        """Return all connections, those that are lent as well."""
        return [one for known in tuple(self._living) if (one := known()) is not None]

    def lent_now(self) -> list[ref[Any]]:
        """Return what may be lent, without keeping it alive."""
        return list(self._living)

    def write_off(self, lent: Sequence[ref[Any]]) -> int:
        """Let others be made in place of what was lent for too long; return how many.

        They are not in use: a stored traceback can keep those of interrupted calls alive.
        """
        overdue = [one for known in lent if known in self._living and (one := known()) is not None]
        for connection in overdue:
            connection.is_lost = True
            self.forget(connection)
        return len(overdue)

    @property
    def answers(self) -> int:
        """Return a number that changes with each reply that the server gives."""
        return sum(one.answers for one in self.all())

    def _new(self) -> Any | None:
        for known in tuple(self._living):
            if known() is None:
                with suppress(ValueError):
                    self._living.remove(known)
        if len(self._living) >= self._most:
            return None
        connection = self._make()
        mine = ref(connection)
        self._living.append(mine)
        # Of threads that come here at once those go on that came first.
        before = tuple(self._living)
        if sum(one() is not None for one in before[: before.index(mine)]) < self._most:
            return connection
        self.forget(connection)
        return None


# redis-py's own loan takes locks, fails or waits blindly when all are lent, and costs 12 µs, half a
# round trip: docs/decisions/0004-own-connection-pools.md
class SyncPool(redis.ConnectionPool):
    """Lends connections to threads, in the order in which they came.

    A call may be interrupted anywhere, as by a signal handler that raises: no lock is held, and
    what it used is thrown away.
    """

    def __init__(self, *, max_waiting: int, **options: Any) -> None:
        self._max_waiting = max_waiting
        super().__init__(**options)

    def reset(self) -> None:
        """Begin without any connection, as after a fork."""
        self._stock = Stock(self.make_connection, self.max_connections)
        self._line: deque[SimpleQueue[Any]] = deque()
        # Last: until then other threads see that there is something to do.
        self.pid = os.getpid()

    def make_connection(self) -> Any:
        return self.connection_class(**self.connection_kwargs)

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return a connection that is connected; wait for it in line.

        Raises `RedisFault` with the code ``busy`` where too many wait, and redis-py's errors.
        """
        if self.pid != os.getpid():
            self.reset()
        if self._line or (connection := self._stock.take()) is None:
            connection = self._wait()
        try:
            self._connect(connection)
        except BaseException:
            self.discard(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back from redis-py, which says nothing of how its call ended."""
        if connection.is_clean:
            self.put(connection)
        else:
            self.discard(connection)

    def put(self, connection: Any) -> None:
        """Take a connection back whose calls were all answered."""
        if connection.is_lost or connection.pid != self.pid:
            connection.disconnect()
            return
        connection.owed = 0
        self._stock.put(connection)
        if self._line:
            self._serve()

    def discard(self, connection: Any) -> None:
        """Throw a connection away; another one may be made."""
        self._stock.forget(connection)
        connection.disconnect()
        if self._line:
            self._serve()

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Throw away all connections, or only the idle ones."""
        if self.pid != os.getpid():
            self.reset()
        lent = self._stock.all() if inuse_connections else []
        for connection in {*self._stock.empty(), *lent}:
            self.discard(connection)

    def _connect(self, connection: Any) -> None:
        if connection.is_connected:
            try:
                is_stale = connection.can_read()
            except (*REDIS_ERRORS, *GARBLED):  # closed meanwhile, it has no socket any more
                is_stale = True
            if is_stale or not is_as_planned(connection):
                connection.disconnect()
            elif connection.primary is None:
                return
        connection.connect()

    def _wait(self) -> Any:
        if len(self._line) >= self._max_waiting:
            raise busy(self._max_waiting)
        turn: SimpleQueue[Any] = SimpleQueue()
        try:
            self._line.append(turn)
            self._serve()
            return self._patiently(turn)
        finally:
            with suppress(ValueError):
                self._line.remove(turn)
            # What came just when the caller was interrupted goes to the next one.
            with suppress(Empty):
                self.put(turn.get_nowait())

    def _patiently(self, turn: SimpleQueue[Any]) -> Any:
        """Wait for as long as the server answers anything; a process that sleeps loses no time."""
        answers, quiet, lent = self._stock.answers, 0, self._stock.lent_now()
        while True:
            with suppress(Empty):
                return turn.get(timeout=LOOK_S)
            # An interrupted call may have dropped its connection, or our turn, without a word.
            if turn not in self._line:
                self._line.appendleft(turn)
            self._serve()
            quiet += 1
            if answers != self._stock.answers:
                answers, quiet, lent = self._stock.answers, 0, self._stock.lent_now()
            elif quiet >= LOOKS:
                if not self._stock.write_off(lent):
                    raise unanswered()
                self._serve()

    def _serve(self) -> None:
        """Give free connections to the waiting callers, in the order of their calls."""
        while self._line:
            connection = self._stock.take()
            if connection is None:
                return
            try:
                turn = self._line.popleft()
            except IndexError:
                self._stock.put(connection)
                continue
            turn.put(connection)
