"""Addresses of names: asked of the machine's own resolver, in bounded time and bounded threads.

A look-up by the C library cannot be ended, and a name server that does not answer holds it for many
seconds. So each look-up has a thread of its own, and no caller waits longer than two seconds for
it, the end of the process neither. Names that were slow share half of the threads, so they never
take the places of all others.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, TypeVar

from galaxy_notify.channels.dialing import OWN_FAULTS
from galaxy_notify.channels.guard import is_address

_LOOK_UP_S: Final = 2.0
#: The C library does not say how long an answer is valid: for this time a name is not asked again.
_FRESH_S: Final = 10.0
#: A name that was slow is asked among the slow ones for this long.
_SLOW_S: Final = 600.0
_THREADS: Final = 64
_MOST_NAMES: Final = 10_000

#: Returns the addresses of a name as text, or raises `OSError`. It may take any time.
LookUp = Callable[[str], Sequence[str]]

T = TypeVar("T")


class LookUpFailed(OSError):
    """A name has no address, or there was no answer in time; the text says which."""


def look_up_by_system(name: str) -> list[str]:
    """Ask the C library, which reads the hosts file, too."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for *_, address in found]


class Resolver:
    """The addresses of names, in one event loop; an answer is kept for ten seconds."""

    def __init__(self, look_up: LookUp = look_up_by_system, threads: int = _THREADS) -> None:
        self._look_up = look_up
        self._places = asyncio.Semaphore(threads)
        self._slow_places = asyncio.Semaphore(max(1, threads // 2))
        self._questions: dict[str, _Question] = {}
        self._fresh: dict[str, tuple[Sequence[str], float]] = {}
        self._slow: dict[str, float] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        """Return the addresses of a host; an address is its own.

        Raises `LookUpFailed` where there is none, or no answer within two seconds, any other
        `OSError` only where this machine has no more threads, sockets or memory. Nothing is checked
        here.
        """
        if is_address(host):
            return (host,)
        found, until = self._fresh.get(host, ((), 0.0))
        if until > time.monotonic():
            return found
        question = self._questions.get(host) or self._ask(host)
        with question.awaited():
            await asyncio.wait({question.task}, timeout=question.left_s)
        if question.task.done():
            return _found(question.task.result())
        if question.began:
            _put(self._slow, host, time.monotonic() + _SLOW_S)
        raise LookUpFailed(f"the name server did not answer within {_LOOK_UP_S:g} s")

    def close(self) -> None:
        """Wait for no look-up any more; threads that hang end with the process."""
        for question in self._questions.values():
            question.task.cancel()

    def _ask(self, host: str) -> _Question:
        question = self._questions[host] = _Question()
        question.task = asyncio.create_task(self._answered(host, question))

        def ended(task: asyncio.Task[Sequence[str] | LookUpFailed]) -> None:
            self._questions.pop(host)
            if not task.cancelled():
                task.exception()  # looked at: its callers may have waited too long for it

        question.task.add_done_callback(ended)
        return question

    async def _answered(self, host: str, question: _Question) -> Sequence[str] | LookUpFailed:
        """Look a name up in a thread, when there is a place for it and a caller still waits."""
        async with self._place(host):
            if not question.waiting:
                return LookUpFailed("too many look-ups are slow")
            question.began = time.monotonic()
            try:
                found = await _in_thread(self._look_up, host)
            except OSError as error:
                if error.errno in OWN_FAULTS:
                    raise
                return LookUpFailed(f"the name was not found: {error.strerror or error}")
            if not found:
                return LookUpFailed("the name has no address")
            # Kept also where it came too late for its callers: the next one has it.
            _put(self._fresh, host, (found, time.monotonic() + _FRESH_S))
            return found

    @asynccontextmanager
    async def _place(self, host: str) -> AsyncIterator[None]:
        if self._slow.get(host, 0.0) > time.monotonic():
            async with self._slow_places, self._places:
                yield
        else:
            async with self._places:
                yield


class _Question:
    """One look-up that is under way or waits for its place, for all callers with this name."""

    task: asyncio.Task[Sequence[str] | LookUpFailed]

    def __init__(self) -> None:
        self.waiting = 0
        self.began = 0.0

    @property
    def left_s(self) -> float:
        """How long to wait for it: a look-up that hangs is not waited for again."""
        return max(0.0, (self.began or time.monotonic()) + _LOOK_UP_S - time.monotonic())

    @contextmanager
    def awaited(self) -> Iterator[None]:
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


def _found(result: Sequence[str] | LookUpFailed) -> Sequence[str]:
    if isinstance(result, LookUpFailed):
        raise LookUpFailed(*result.args)
    return result


async def _in_thread(work: Callable[[str], T], argument: str) -> T:
    """Run in a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work(argument)
        except Exception as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed: no caller waits
            loop.call_soon_threadsafe(settle, result, error)

    try:
        threading.Thread(target=run, name="look-up", daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.ENOMEM, "no more threads") from error
    return await future


def _put(table: dict[str, T], name: str, value: T) -> None:
    """Keep a value; of too many the oldest goes."""
    table.pop(name, None)
    table[name] = value
    if len(table) > _MOST_NAMES:
        del table[next(iter(table))]
