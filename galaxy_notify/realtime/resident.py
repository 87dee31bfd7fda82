"""What lives in the event loop of an application: it joins the deployment, and works until closed.

The application's tasks come and go, and may be cancelled at any moment. Calls to Redis that outlive
them are made by one task of our own, which is only ever asked to stop.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

import redis.asyncio

from galaxy_notify.errors import AlreadyClosed, CallFailed, OtherEventLoop, Unavailable
from galaxy_notify.model.not_copied import NotCopied
from galaxy_notify.redis_client.access import open_async, settings_at
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped
from galaxy_notify.redis_client.failed_calls import failed_call
from galaxy_notify.redis_client.faults import REDIS_ERRORS, Fault, RedisFault, Remedy
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.redis_client.scripts import load_all
from galaxy_notify.redis_state.joining import adopt_deployment
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

T = TypeVar("T")
#: One blocks to read the inbox; the others carry presence, lists, telling, and calls of the
#: application.
_CONNECTIONS: Final = 8
#: How long a call of the application waits for Redis, unless it says otherwise.
WAIT_S: Final = 10.0


class Joined(NamedTuple):
    """A deployment that was joined: the client, and where everything lies."""

    client: redis.asyncio.Redis
    key_space: KeySpace


class Resident(NotCopied, ABC):
    """Works in one event loop, from the first call until `close`.

    Every call comes from that loop: from another one it raises `OtherEventLoop`, after `close` it
    raises `AlreadyClosed`.
    """

    def __init__(self, settings: Settings, instance: str) -> None:
        """Prepare; nothing is sent before the first call. Raises `ConfigurationError`."""
        load_all()
        #: The name of this object in the deployment.
        self.instance = instance
        self._settings = settings
        self._client = open_async(
            settings, connections=_CONNECTIONS, name=f"galaxy-notify-{instance}"
        )
        self._log = get_logger("realtime", instance=instance)
        self._outages, self._stagger = OutageLog(EdgeLog(self._log)), Stagger()
        self._stop = StopFlag()
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._joined: Joined | None = None
        self._failure: Exception | None = None
        # What Redis said last while it did not answer as it should.
        self._last_fault: Fault | None = None
        self._changed = asyncio.Event()
        # Calls of the application that are on their way.
        self._calls: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all work, and close the connections; seconds at most, also while Redis is away.

        Presence that cannot be removed then expires. May be called again, and be cancelled: the end
        is waited for all the same.
        """
        if self._loop is None or not self._loop.is_closed():
            self._check_loop()
        self._is_closed = True
        if self._task is None or self._task.done():
            await self._client.aclose()
            return
        self._end()
        try:
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            await asyncio.wait([self._task])
            raise

    @abstractmethod
    async def _work(self, joined: Joined) -> None:
        """Work until `_stop` is set."""

    def _end(self) -> None:
        """Ask for the end of `_work`."""
        self._stop.set()
        self._notify()

    def _begin(self) -> None:
        """Begin to work, at the first call; raise unless the object may be used here."""
        if self._is_closed:
            raise AlreadyClosed.named(type(self).__name__)
        self._check_loop()
        if self._failure is not None:
            raise self._failure
        if self._task is not None and self._task.done():
            # The loop was ended under it.
            raise AlreadyClosed.named(type(self).__name__)
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            # A context of its own: the work belongs to no request of the application.
            self._task = self._loop.create_task(self._run(), context=Context())

    def _check_loop(self) -> None:
        if self._loop not in (None, asyncio.get_running_loop()):
            raise OtherEventLoop.named(type(self).__name__)

    async def _wait_until(self, is_done: Callable[[], object], within_s: float = WAIT_S) -> None:
        """Wait for something that `_notify` is called after.

        Raises `Unavailable`, or `Misconfigured`, where it did not come in time; `AlreadyClosed`,
        or what ended the work.
        """
        try:
            async with asyncio.timeout(within_s):
                while not is_done():
                    self._begin()
                    await self._changed.wait()
        except TimeoutError:
            raise self._unavailable(within_s) from None

    async def _deployment(self, within_s: float = WAIT_S) -> Joined:
        """Return the deployment; raise as `_wait_until`."""
        self._begin()
        await self._wait_until(lambda: self._joined, within_s)
        self._begin()
        assert self._joined is not None
        return self._joined

    async def _ask(self, call: Callable[[Joined], Coroutine[Any, Any, T]]) -> T:
        """Return the answer to a call; raise `Unavailable` or `Misconfigured`.

        Where the caller is cancelled, the call is completed. Python 3.11 loses a cancellation that
        comes while a call is being written, too: not here.
        """
        joined = await self._deployment()
        task = asyncio.create_task(self._called(call(joined)))
        self._calls.add(task)
        task.add_done_callback(self._forget_call)
        return await asyncio.shield(task)

    def _forget_call(self, task: asyncio.Task[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be left to look at it

    async def _called(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except RedisFault as error:
            if error.fault.remedy is Remedy.RESOLVE:
                with suppress(*REDIS_ERRORS):
                    await refresh_primary(self._client)
            raise failed_call(error) from error

    def _retry(self) -> RetryUntilStopped:
        """Return what makes the calls of one loop until they are answered."""
        return RetryUntilStopped(self._stop, self._outages, self._stagger, self._recover)

    async def _recover(self, fault: Fault) -> bool:
        self._last_fault = fault
        if fault.remedy is Remedy.RESOLVE:
            await refresh_primary(self._client)
        return False

    def _notify(self) -> None:
        """Have all who wait look again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _run(self) -> None:
        try:
            await self._work(await self._join())
        except Stopped:
            pass
        except Exception as error:
            # Raised by each call from now on.
            self._failure = error
            self._log.error("realtime work failed", reason=f"{type(error).__name__}: {error}")
        finally:
            self._notify()
            while self._calls:
                await asyncio.wait(self._calls)
            with suppress(*REDIS_ERRORS):
                await self._client.aclose()

    async def _join(self) -> Joined:
        prefix = self._settings.redis.prefix
        shared = await self._retry()(lambda: run_flow(self._client, adopt_deployment(prefix)))
        self._last_fault = None
        self._joined = Joined(self._client, KeySpace(prefix, shared))
        self._notify()
        return self._joined

    def _unavailable(self, within_s: float) -> CallFailed:
        if self._last_fault is not None:
            return failed_call(RedisFault(self._last_fault))
        return Unavailable(f"redis did not answer within {within_s:g} s", code="timeout")


def settings_for(
    url: str, prefix: str, given: Mapping[str, Any], realtime: Iterable[str], **own: Any
) -> Settings:
    """Return the settings of an application: those named in *realtime* are of that section.

    All others are of the section ``redis``. *own* are settings of the section realtime.
    """
    names = frozenset(realtime)
    of_realtime = {name: value for name, value in given.items() if name in names}
    of_redis = {name: value for name, value in given.items() if name not in names}
    return settings_at(url, prefix, of_redis, realtime={**of_realtime, **own})
