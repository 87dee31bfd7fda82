"""The client of asynchronous producers; does what `client` does, without blocking the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

from galaxy_notify.redis_client.access import REAL, Environment
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.flows import Flow, Send, run_flow
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_client.per_loop import Pace, PerLoop, Together
from galaxy_notify.redis_client.retries import SHORT_PAUSES_S, jittered
from galaxy_notify.redis_client.runner import Round
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_client.tries import RetryState, is_final
from galaxy_notify.redis_state.client import DeploymentClient, fault_within
from galaxy_notify.redis_state.joining import (
    check_durability,
)
from galaxy_notify.redis_state.permissions import missing_rights
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.shared_settings import KeySpace

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

T = TypeVar("T")


class AsyncClient(DeploymentClient):
    """Runs scripts for `AsyncNotifier`; safe to share between tasks."""

    _owner = "AsyncNotifier"

    def __init__(
        self,
        settings: Settings,
        *,
        adopt: bool,
        once: bool = False,
        environment: Environment = REAL,
    ) -> None:
        """Prepare; see `DeploymentClient`. *once* leaves it to the caller to try again."""
        super().__init__(settings, adopt, () if once else SHORT_PAUSES_S, environment)
        self._client = environment.open_async(settings, agreed=self._agreed if adopt else None)
        self._pace: PerLoop[Pace] = PerLoop(Pace)
        self._joining: PerLoop[Together[KeySpace]] = PerLoop(Together)

    async def key_space(self) -> KeySpace:
        """Return where everything lies; the first call asks Redis. Raises `RedisFault`."""
        self.check_open()
        key_space = self._key_space
        if key_space is None or self._agreed.is_broken:
            key_space = self._key_space = await self._joining.here().run(self._joined)
        self._agreed.plan_for(key_space.shared.shards)
        return key_space

    async def turn(self) -> None:
        """Wait until a call may begin: of thousands at once, a few at a time."""
        await self._pace.here().turn()

    async def run_all(
        self, calls: Sequence[ScriptCall | Command], sent: Round | None = None
    ) -> list[Any]:
        """Run calls in one round trip, with those that were *sent* before them.

        Returns a reply or a fault for each. Raises `RedisFault`.
        """
        under_way = sent or Round(self._client, self._confirm)
        tries = RetryState([*under_way.calls, *calls])
        for pause in self._pauses_s:
            try:
                if tries.answered(await under_way.replies(calls)):
                    return tries.replies
            except RedisFault as error:
                tries.failed(error, pause)
            if not tries.left or pause is None:
                break
            await refresh_primary(self._client)
            await asyncio.sleep(jittered(pause))
            under_way, calls = Round(self._client, self._confirm), tries.left
        if tries.must_refresh_primary:
            await self.refresh_primary()
        return tries.outcome()

    async def run_flow(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return its result. Raises `RedisFault`."""
        sent: Round | None = None
        is_begun = False
        try:
            request = next(flow)
            while True:
                if isinstance(request, Send):
                    sent = sent or Round(self._client, self._confirm)
                    await sent.send(request.call)
                    request = next(flow)
                else:
                    replies = await self.run_all(request, sent)
                    sent, is_begun = None, True
                    request = flow.send(replies)
        except StopIteration as stop:
            return cast("T", stop.value)
        except RedisFault as error:
            if error.fault.remedy is Remedy.RESOLVE:
                await self.refresh_primary()
            found = fault_within(error, flow) if is_begun else error
            raise (await self._explained(found)) from error.__cause__
        finally:
            # After an interruption unread replies must not reach the next call.
            if sent is not None:
                sent.drop()

    async def refresh_primary(self) -> None:
        """Drop the idle connections and look the primaries up before the next call.

        It happens at most twice a second, however many calls are refused.
        """
        if self._refreshes.may_refresh():
            await refresh_primary(self._client)

    async def close(self) -> None:
        """Close the connections."""
        self._is_closed = True
        await self._client.aclose()

    async def _explained(self, error: RedisFault) -> RedisFault:
        """Name the rights that are missing where Redis refused one."""
        if error.fault.code != "NOPERM":
            return error
        with suppress(RedisFault):
            return error.lacking(
                await run_flow(self._client, missing_rights(self._first, Role.PRODUCER))
            )
        return error

    async def _joined(self) -> KeySpace:
        # A task of its own, which has taken over what was planned where it began.
        self._agreed.plan_for(None)
        for pause in self._pauses_s:
            try:
                found = await run_flow(self._client, self._join())
                if self._confirm and self._confirm.is_of_disk:
                    await check_durability(self._client, self._first, self._confirm)
                break
            except RedisFault as error:
                if is_final(error, pause):
                    raise (await self._explained(error)) from error.__cause__
                await refresh_primary(self._client)
                await asyncio.sleep(jittered(pause or 0))
        self._agreed.is_broken = False
        return KeySpace(self._first.prefix, found)
