"""Accepts of many tasks in few calls: what comes while a call is on its way shares the next one.

Why: docs/decisions/0015-concurrent-accepts-share-calls.md. Nothing waits on purpose. A call leaves

- at once, if none is on its way: a task that accepts alone pays nothing for this module;
- when the calls before it have returned;
- when it is full: more intents would only make it slower for those that are in it;
- when the last one left `_LONGEST_WAIT_S` ago, so that a slow link, a call that is tried again or a
  server that hangs holds up the others for no longer than that. Whatever has left then waits for
  its connection, and for Redis, by the same rules as every other call.

A call belongs to all tasks in it: no task's cancellation ends it. One that is cancelled before its
call leaves is not sent.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from contextvars import Context
from copy import copy
from functools import partial
from typing import Final

from galaxy_notify.errors import Portable
from galaxy_notify.intake.accept import accept_flow, accept_unruled_flow, needs_rules
from galaxy_notify.intake.plan import Plan
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.unknown import Unknown, needs_refresh, with_missing_rights
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_client.per_loop import PerLoop
from galaxy_notify.redis_state.accept_calls import BYTES_PER_CALL, ROUTES_PER_CALL
from galaxy_notify.redis_state.async_client import AsyncClient
from galaxy_notify.redis_state.shared_settings import KeySpace

_LONGEST_WAIT_S: Final = 0.005
#: The task that sent a call was cancelled, as all tasks are when their loop ends.
_INTERRUPTED: Final = Fault("connection", Remedy.RETRY, "the call was interrupted")

#: None: the plan needs a call of its own, as it needs rules first.
Outcome = Receipt | Unknown | None


class SharedCalls:
    """The calls in which the tasks of a notifier accept single intents."""

    def __init__(self, client: AsyncClient, *, by_shard: bool) -> None:
        """Prepare; with *by_shard* each shard may have a server of its own."""
        self._client = client
        self._by_shard = by_shard
        self._lines: PerLoop[dict[int, _Line]] = PerLoop(lambda: defaultdict(self._new_line))

    async def accept(self, plan: Plan, key_space: KeySpace) -> Receipt | Unknown:
        """Accept a plan for this key space; raise `RedisFault` as `accept_plans` does for it."""
        if self._is_own_call(plan):
            return await _accept_alone(self._client, plan)
        # A slow server must not hold up what goes to another one.
        server = key_space.keys_for(plan.notification_id).shard if self._by_shard else 0
        outcome = await self._lines.here()[server].accept(plan, key_space)
        if outcome is None:
            return await _accept_alone(self._client, plan)
        return outcome

    async def end(self) -> None:
        """Wait until no shared call of this loop is on its way, though its callers may have gone.

        To be called once the client refuses new calls.
        """
        for line in list(self._lines.here().values()):
            await line.end()

    def _is_own_call(self, plan: Plan) -> bool:
        """Return whether sharing is impossible, or gains nothing.

        Rules and later parts take several round trips, for which no other task must wait.
        """
        return (
            plan.part_count > 1
            or len(plan.routes) >= ROUTES_PER_CALL
            or len(plan.content) >= BYTES_PER_CALL
            or needs_rules(plan, plan.shared, preferences_exist=self._client.preferences_exist)
        )

    def _new_line(self) -> _Line:
        return _Line(self._client)


async def accept_plans(
    client: AsyncClient, planned: Iterable[Plan | Receipt]
) -> list[Receipt | Unknown]:
    """Accept plans in calls of their own; raise `RedisFault` if nothing is known of any."""
    # Reading the intents may have run calls of another notifier. From here on all calls are of
    # this one, and none goes to a server that has lost its deployment.
    key_space, known = await client.key_space(), client.preferences_exist
    done = await client.run_flow(accept_flow(key_space, planned, preferences_exist=known))
    client.preferences_exist |= done.preferences_exist
    if done.needs_refresh:
        await client.refresh_primary()
    return done.receipts


async def _accept_alone(client: AsyncClient, plan: Plan) -> Receipt | Unknown:
    (receipt,) = await accept_plans(client, [plan])
    return receipt


async def _accept_together(client: AsyncClient, plans: Sequence[Plan]) -> list[Outcome]:
    key_space, known = await client.key_space(), client.preferences_exist
    flow = accept_unruled_flow(key_space, plans, preferences_exist=known)
    outcomes = await client.run_flow(flow)
    client.preferences_exist |= None in outcomes
    return outcomes


class _Line:
    """The calls of one event loop to one server: those on their way, and the next one."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._on_their_way = 0
        self._left_at = 0.0
        self._next: _SharedCall | None = None
        self._overdue: asyncio.TimerHandle | None = None
        #: The loop itself holds its tasks only weakly.
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, plan: Plan, key_space: KeySpace) -> Outcome:
        """Return the outcome of one plan; raise `RedisFault`."""
        if self._next is None and (
            not self._on_their_way or self._loop.time() >= self._left_at + _LONGEST_WAIT_S
        ):
            self._note_departure()
            try:
                # In the caller's own task: its cancellation interrupts only its own call.
                return await _accept_alone(self._client, plan)
            finally:
                self._note_return()
        outcome = await self._join(plan)
        if isinstance(outcome, Unknown):
            return await self._explained(outcome, key_space)
        return outcome

    def _join(self, plan: Plan) -> asyncio.Future[Outcome]:
        """Let a plan share the next call; the future gets its outcome."""
        if self._next is not None and not self._next.has_room(plan):
            self._leave()
        if self._next is None:
            self._next = _SharedCall()
            self._overdue = self._loop.call_at(self._left_at + _LONGEST_WAIT_S, self._leave)
        return self._next.add(plan, self._loop.create_future())

    def _leave(self) -> None:
        """Send the next call, if there is one."""
        call, self._next = self._next, None
        if call is None:
            return
        if self._overdue is not None:
            self._overdue.cancel()
        self._note_departure()
        # A task of its own, in a context of its own: that of one caller is not for the others.
        # It is made in that context, which not every task factory can be given.
        task: asyncio.Task[None] = Context().run(self._loop.create_task, self._send(call))
        self._tasks.add(task)
        task.add_done_callback(partial(self._forget, call))

    async def end(self) -> None:
        """Send what has not left, and wait until no shared call is on its way."""
        self._leave()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _send(self, call: _SharedCall) -> None:
        try:
            await call.run(self._client)
        finally:
            self._note_return()

    def _forget(self, call: _SharedCall, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not call.has_begun:
            # The task was cancelled before its first step, so nothing of it has run.
            call.fail(RedisFault(_INTERRUPTED))
            self._note_return()

    def _note_departure(self) -> None:
        self._on_their_way += 1
        self._left_at = self._loop.time()

    def _note_return(self) -> None:
        self._on_their_way -= 1
        if self._next is not None and not self._on_their_way and not self._loop.is_closed():
            # Soon: callers that were just answered, and accept again at once, share it.
            self._loop.call_soon(self._leave)

    async def _explained(self, unknown: Unknown, key_space: KeySpace) -> Receipt | Unknown:
        """Do for one intent what `accept_flow` does at its end.

        If nobody can say which rights are missing, the outcome stays what it was without them.
        """
        found: Receipt | Unknown = unknown
        with suppress(RedisFault):
            (found,) = await self._client.run_flow(with_missing_rights(key_space, [unknown]))
        if needs_refresh([found]):
            await self._client.refresh_primary()
        return found


class _SharedCall:
    """Plans of several tasks that are sent together, each with the future of its outcome."""

    def __init__(self) -> None:
        #: Whether it was run, so that each caller has an outcome once its task has ended.
        self.has_begun = False
        self._waiting: list[tuple[Plan, asyncio.Future[Outcome]]] = []
        self._routes = 0
        self._bytes = 0

    def has_room(self, plan: Plan) -> bool:
        """Return whether it stays as small as a call of `accept_many`."""
        return (
            self._routes + len(plan.routes) <= ROUTES_PER_CALL
            and self._bytes + len(plan.content) <= BYTES_PER_CALL
        )

    def add(self, plan: Plan, future: asyncio.Future[Outcome]) -> asyncio.Future[Outcome]:
        self._waiting.append((plan, future))
        self._routes += len(plan.routes)
        self._bytes += len(plan.content)
        return future

    async def run(self, client: AsyncClient) -> None:
        """Accept the plans whose callers still wait; each gets its outcome, or its own error."""
        self.has_begun = True
        waiting = [(plan, future) for plan, future in self._waiting if not future.done()]
        if not waiting:
            return
        outcomes: Sequence[Outcome]
        try:
            outcomes = await _accept_together(client, [plan for plan, _ in waiting])
        except Portable as error:
            self.fail(error)
            return
        except Exception:
            # One of them cannot be sent, as one that was made without being checked. Each continues
            # alone and finds out; its id keeps what was sent from being accepted again.
            outcomes = [None] * len(waiting)
        except BaseException:
            self.fail(RedisFault(_INTERRUPTED))
            raise
        for (_, future), outcome in zip(waiting, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)

    def fail(self, error: Portable) -> None:
        """Raise an error to each caller that still waits."""
        for _, future in self._waiting:
            _fail(future, error)


def _fail(future: asyncio.Future[Outcome], error: Portable) -> None:
    """Raise an error of its own to one caller: each raise adds to the traceback of an error."""
    if future.done():
        return
    own = copy(error)
    own.__cause__ = error.__cause__
    future.set_exception(own)
    # Read here: its caller may be cancelled before it sees it, which is nothing to report.
    future.exception()
