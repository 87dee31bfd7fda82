"""The client of producers: it joins the deployment on first use and re-sends what is safe to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from inspect import GEN_CLOSED, getgeneratorstate
from typing import TYPE_CHECKING, Any, TypeVar, cast

from galaxy_notify.errors import AlreadyClosed
from galaxy_notify.redis_client.access import REAL, Environment, server_name
from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.flows import Flow, Send, run_flow_sync
from galaxy_notify.redis_client.nodes import refresh_primary_sync
from galaxy_notify.redis_client.retries import SHORT_PAUSES_S, RefreshLimiter, jittered
from galaxy_notify.redis_client.runner import SyncRound
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_client.still_agreed import AgreementCheck
from galaxy_notify.redis_client.tries import RetryState, is_final
from galaxy_notify.redis_state.joining import (
    adopt_deployment,
    check_disk_sync,
    join_deployment,
)
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.permissions import missing_rights
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

T = TypeVar("T")


class DeploymentClient:
    """What the clients of threads and of tasks have in common: whom they ask, and for what."""

    _owner = "Notifier"

    def __init__(
        self, settings: Settings, adopt: bool, pauses_s: Sequence[float], environment: Environment
    ) -> None:
        """Prepare; *adopt* takes over what the deployment agreed on, and never founds one.

        A call is tried once more after each of the pauses.
        """
        self._agreed = AgreementCheck(Keys(settings.redis.prefix, 0).meta)
        #: What the time is, in epoch ms.
        self.now_ms = environment.now_ms
        # None: the last try has no pause after it.
        self._pauses_s = (*pauses_s, None)
        self._confirm = Confirmation.of(settings.redis.durability)
        self._first = Keys(settings.redis.prefix, 0)
        #: Where Redis is, for people.
        self.server = server_name(settings)
        self._mine = SharedSettings.from_settings(settings)
        self._adopt = adopt
        self._key_space: KeySpace | None = None
        #: Whether users are known to have preferences; until then accept says so where it matters.
        self.preferences_exist = False
        self._refreshes = RefreshLimiter()
        self._is_closed = False

    def check_open(self) -> None:
        """Raise `AlreadyClosed` once it was closed."""
        if self._is_closed:
            raise AlreadyClosed.named(self._owner)

    def refuse_calls(self) -> None:
        """Let every later call raise `AlreadyClosed`; those on their way go on."""
        self._is_closed = True

    def _join(self) -> Flow[SharedSettings]:
        if self._adopt:
            return adopt_deployment(self._first.prefix)
        return join_deployment(self._first.prefix, self._mine)


class SyncClient(DeploymentClient):
    """Runs scripts for `Notifier`; safe to share between threads."""

    def __init__(
        self,
        settings: Settings,
        *,
        adopt: bool,
        pauses_s: Sequence[float] = SHORT_PAUSES_S,
        environment: Environment = REAL,
    ) -> None:
        """Prepare; see `DeploymentClient`."""
        super().__init__(settings, adopt, pauses_s, environment)
        self._client = environment.open_sync(settings, agreed=self._agreed if adopt else None)

    def key_space(self) -> KeySpace:
        """Return where everything lies; the first call asks Redis. Raises `RedisFault`."""
        self.check_open()
        key_space = self._key_space
        if key_space is None or self._agreed.is_broken:
            self._agreed.plan_for(None)
            key_space = self._key_space = self._joined()
            self._agreed.is_broken = False
        self._agreed.plan_for(key_space.shared.shards)
        return key_space

    def run_all(
        self, calls: Sequence[ScriptCall | Command], sent: SyncRound | None = None
    ) -> list[Any]:
        """Run calls in one round trip, with those that were *sent* before them.

        Returns a reply or a fault for each. Raises `RedisFault`.
        """
        under_way = sent or SyncRound(self._client, self._confirm)
        tries = RetryState([*under_way.calls, *calls])
        for pause in self._pauses_s:
            try:
                if tries.answered(under_way.replies(calls)):
                    return tries.replies
            except RedisFault as error:
                tries.failed(error, pause)
            if not tries.left or pause is None:
                break
            refresh_primary_sync(self._client)
            time.sleep(jittered(pause))
            under_way, calls = SyncRound(self._client, self._confirm), tries.left
        if tries.must_refresh_primary:
            self.refresh_primary()
        return tries.outcome()

    def run_flow(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return its result. Raises `RedisFault`."""
        sent: SyncRound | None = None
        is_begun = False
        try:
            request = next(flow)
            while True:
                if isinstance(request, Send):
                    sent = sent or SyncRound(self._client, self._confirm)
                    sent.send(request.call)
                    request = next(flow)
                else:
                    replies = self.run_all(request, sent)
                    sent, is_begun = None, True
                    request = flow.send(replies)
        except StopIteration as stop:
            return cast("T", stop.value)
        except RedisFault as error:
            if error.fault.remedy is Remedy.RESOLVE:
                self.refresh_primary()
            raise self._explained(
                fault_within(error, flow) if is_begun else error
            ) from error.__cause__
        finally:
            # After an interruption unread replies must not reach the next call.
            if sent is not None:
                sent.drop()

    def refresh_primary(self) -> None:
        """Drop the idle connections and look the primaries up before the next call.

        It happens at most twice a second, however many calls are refused.
        """
        if self._refreshes.may_refresh():
            refresh_primary_sync(self._client)

    def close(self) -> None:
        """Close the connections."""
        self._is_closed = True
        self._client.close()

    def _explained(self, error: RedisFault) -> RedisFault:
        """Name the rights that are missing where Redis refused one."""
        if error.fault.code != "NOPERM":
            return error
        with suppress(RedisFault):
            return error.lacking(
                run_flow_sync(self._client, missing_rights(self._first, Role.PRODUCER))
            )
        return error

    def _joined(self) -> KeySpace:
        for pause in self._pauses_s:
            try:
                found = run_flow_sync(self._client, self._join())
                check_disk_sync(self._client, self._first, self._confirm)
                break
            except RedisFault as error:
                if is_final(error, pause):
                    raise (self._explained(error)) from error.__cause__
                refresh_primary_sync(self._client)
                time.sleep(jittered(pause or 0))
        return KeySpace(self._first.prefix, found)


def fault_within(error: RedisFault, flow: Flow[Any]) -> RedisFault:
    """Return a fault of a later round trip: earlier calls may have taken effect.

    A fault that the flow itself raised already says whether they have.
    """
    return error if getgeneratorstate(flow) == GEN_CLOSED else error.with_unknown_outcome()
