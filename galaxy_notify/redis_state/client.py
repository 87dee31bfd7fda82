"""Clients of producers: they join the deployment on first use and re-send what is safe to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from random import uniform
from typing import Any, Final, TypeVar, cast

from galaxy_notify.errors import Unavailable
from galaxy_notify.redis_state.access import open_async, open_sync
from galaxy_notify.redis_state.deployment import Deployment, Layout
from galaxy_notify.redis_state.durability import UNCONFIRMED, Confirm
from galaxy_notify.redis_state.faults import RedisFault, Remedy
from galaxy_notify.redis_state.joining import (
    join_deployment,
    join_deployment_sync,
    read_deployment,
    read_deployment_sync,
)
from galaxy_notify.redis_state.nodes import look_again, look_again_sync
from galaxy_notify.redis_state.per_loop import Pace, PerLoop, Together
from galaxy_notify.redis_state.pools import BUSY
from galaxy_notify.redis_state.runner import run_all, run_all_sync
from galaxy_notify.redis_state.scripts import Call, Read, Scripts
from galaxy_notify.settings import Settings

T = TypeVar("T")
#: Yields what to run in one round trip; is sent a reply, or a fault, for each call.
Flow = Generator[Sequence[Call | Read] | Scripts, list[Any], T]

# Every script is safe to run twice, so a short fault need not reach the producer.
_PAUSES_S: Final = (0.02, 0.1, 0.4)
#: Where these come in place of a reply, its node serves the call soon, or another one does.
_ELSEWHERE: Final = frozenset({"connection", "READONLY", "MOVED", "ASK", "TRYAGAIN"})
_DOUBTS_APART_S: Final = 0.5
#: These took their full time already, or would only make the line longer.
_FINAL: Final = frozenset({"timeout", UNCONFIRMED, BUSY})


class SyncClient:
    """Runs scripts for `Notifier`; safe to share between threads."""

    def __init__(
        self, settings: Settings, *, adopt: bool, pauses_s: Sequence[float] = _PAUSES_S
    ) -> None:
        """Prepare; *adopt* takes over what the deployment agreed on instead of comparing it.

        A call is tried once more after each of the pauses.
        """
        self._client = open_sync(settings)
        self._pauses_s = pauses_s
        self._confirm = Confirm.of(settings.redis.durability)
        self._prefix = settings.redis.prefix
        self._mine = Deployment.from_settings(settings)
        self._adopt = adopt
        self._layout: Layout | None = None
        self._doubts = _Doubts()

    def layout(self) -> Layout:
        """Return where everything lies; the first call asks Redis. Raises `RedisFault`."""
        if self._layout is None:
            for pause in (*self._pauses_s, None):
                try:
                    self._layout = Layout(self._prefix, self._join())
                    break
                except RedisFault as error:
                    if _is_final(error, pause):
                        raise
                    look_again_sync(self._client)
                    time.sleep(_apart(pause or 0))
        assert self._layout is not None
        return self._layout

    def run_all(self, calls: Sequence[Call | Read] | Scripts) -> list[Any]:
        """Run calls in one round trip; a reply or a fault for each. Raises `RedisFault`."""
        tries = Tries(calls)
        for pause in (*self._pauses_s, None):
            try:
                tries.answered(run_all_sync(self._client, tries.left, self._confirm))
            except RedisFault as error:
                tries.failed(error, pause)
            if not tries.left or pause is None:
                break
            look_again_sync(self._client)
            time.sleep(_apart(pause))
        if tries.are_in_doubt:
            self.look_again()
        return tries.outcome()

    def run_flow(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return its result. Raises `RedisFault`."""
        try:
            calls = next(flow)
            while True:
                calls = flow.send(self.run_all(calls))
        except StopIteration as stop:
            return cast("T", stop.value)
        except (RedisFault, Unavailable) as error:
            if _is_in_doubt(error):
                self.look_again()
            raise

    def look_again(self) -> None:
        """Drop the idle connections and look the primaries up before the next call.

        Whatever is refused meanwhile, that is done twice a second at most.
        """
        if self._doubts.may_act():
            look_again_sync(self._client)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _join(self) -> Deployment:
        if self._adopt and (found := read_deployment_sync(self._client, self._prefix)):
            found.check_format()
            return found
        return join_deployment_sync(self._client, self._prefix, self._mine)


class AsyncClient:
    """Runs scripts for `AsyncNotifier`; safe to share between tasks."""

    def __init__(self, settings: Settings, *, adopt: bool, once: bool = False) -> None:
        """Prepare; *adopt* takes over what the deployment agreed on instead of comparing it.

        *once* leaves it to the caller to try again.
        """
        self._pauses_s = () if once else _PAUSES_S
        self._client = open_async(settings)
        self._pace: PerLoop[Pace] = PerLoop(Pace)
        self._joining: PerLoop[Together[Layout]] = PerLoop(Together)
        self._confirm = Confirm.of(settings.redis.durability)
        self._prefix = settings.redis.prefix
        self._mine = Deployment.from_settings(settings)
        self._adopt = adopt
        self._layout: Layout | None = None
        self._doubts = _Doubts()

    async def layout(self) -> Layout:
        """Return where everything lies; the first call asks Redis. Raises `RedisFault`."""
        if self._layout is None:
            self._layout = await self._joining.here().run(self._joined)
        return self._layout

    async def turn(self) -> None:
        """Wait until a call may begin: of thousands at once, a few at a time."""
        await self._pace.here().turn()

    async def run_all(self, calls: Sequence[Call | Read] | Scripts) -> list[Any]:
        """Run calls in one round trip; a reply or a fault for each. Raises `RedisFault`."""
        tries = Tries(calls)
        for pause in (*self._pauses_s, None):
            try:
                tries.answered(await run_all(self._client, tries.left, self._confirm))
            except RedisFault as error:
                tries.failed(error, pause)
            if not tries.left or pause is None:
                break
            await look_again(self._client)
            await asyncio.sleep(_apart(pause))
        if tries.are_in_doubt:
            await self.look_again()
        return tries.outcome()

    async def run_flow(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return its result. Raises `RedisFault`."""
        try:
            calls = next(flow)
            while True:
                calls = flow.send(await self.run_all(calls))
        except StopIteration as stop:
            return cast("T", stop.value)
        except (RedisFault, Unavailable) as error:
            if _is_in_doubt(error):
                await self.look_again()
            raise

    async def look_again(self) -> None:
        """Drop the idle connections and look the primaries up before the next call.

        Whatever is refused meanwhile, that is done twice a second at most.
        """
        if self._doubts.may_act():
            await look_again(self._client)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _joined(self) -> Layout:
        for pause in self._pauses_s:
            try:
                return Layout(self._prefix, await self._join())
            except RedisFault as error:
                if _is_final(error, pause):
                    raise
                await look_again(self._client)
                await asyncio.sleep(_apart(pause))
        return Layout(self._prefix, await self._join())

    async def _join(self) -> Deployment:
        if self._adopt and (found := await read_deployment(self._client, self._prefix)):
            found.check_format()
            return found
        return await join_deployment(self._client, self._prefix, self._mine)


class Tries:
    """The calls of one round trip that have no answer yet, and the replies to the others."""

    def __init__(self, calls: Sequence[Call | Read] | Scripts) -> None:
        """Begin with all of them left."""
        self.left: Sequence[Call | Read] | Scripts = calls
        self.replies: list[Any] = []
        self._places: list[int] | None = None
        self._fault: RedisFault | None = None

    def answered(self, replies: Sequence[Any]) -> None:
        """Note the replies to what was left; what a node could not serve is left again."""
        if self._places is None:
            self.replies = list(replies)
            self._places = list(range(len(replies)))
        for place, reply in zip(self._places, replies, strict=True):
            self.replies[place] = reply
        again = [n for n, reply in enumerate(replies) if _passes(reply)]
        calls = self.left.made if isinstance(self.left, Scripts) else self.left
        self.left = [calls[n] for n in again]
        self._places = [self._places[n] for n in again]

    def failed(self, error: RedisFault, pause: float | None) -> None:
        """Note that no node served what was left; a final fault is the outcome, or joins it."""
        if not _is_final(error, pause):
            return
        if not self.replies:
            self._fault = error
        for place in self._places or ():
            self.replies[place] = error
        self.left = []

    @property
    def are_in_doubt(self) -> bool:
        """Tell whether whoever answered, or what came, is not to be trusted any longer."""
        if self._fault is not None:
            return self._fault.fault.remedy is Remedy.RESOLVE
        # A plain loop: this is on the way of every accept.
        for reply in self.replies:
            if isinstance(reply, RedisFault) and reply.fault.remedy is Remedy.RESOLVE:
                return True
        return False

    def outcome(self) -> list[Any]:
        """Return a reply or a fault for each call; raise the fault that is all there is."""
        if self._fault is not None:
            raise self._fault
        return self.replies


def _passes(reply: Any) -> bool:
    """Tell whether a reply says that another node, or the same one soon, will serve the call."""
    return isinstance(reply, RedisFault) and reply.fault.code in _ELSEWHERE


def _is_in_doubt(error: RedisFault | Unavailable) -> bool:
    """Tell whether what a flow ended with leaves open whom we are connected to."""
    fault = error if isinstance(error, RedisFault) else error.__cause__
    return isinstance(fault, RedisFault) and fault.fault.remedy is Remedy.RESOLVE


class _Doubts:
    """Keeps apart what is done about doubts: one that refuses all is not met anew each time."""

    def __init__(self) -> None:
        self._acted_at = float("-inf")

    def may_act(self) -> bool:
        """Tell whether it is time to act; then it was done."""
        now = time.monotonic()
        if now - self._acted_at < _DOUBTS_APART_S:
            return False
        self._acted_at = now
        return True


def _apart(pause: float) -> float:
    """Return how long to pause: those who failed together do not try again together."""
    return uniform(0.5, 1.0) * pause  # no secret


def _is_final(error: RedisFault, pause: float | None) -> bool:
    fault = error.fault
    return pause is None or fault.remedy is Remedy.CONFIGURE or fault.code in _FINAL
