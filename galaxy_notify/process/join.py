"""Joining the deployment at the start of a process: rights, shared settings, durability."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

import redis.asyncio
from structlog.typing import FilteringBoundLogger

from galaxy_notify.process.supervisor import ProgressWatchdog, Supervisor
from galaxy_notify.redis_client.access import user_name
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped
from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.failed_calls import refuse_permanent
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_client.nodes import at_shard, node_of, refresh_primary
from galaxy_notify.redis_client.retries import OutageLog, RetryPolicy, Stagger
from galaxy_notify.redis_state.joining import check_durability, join_deployment
from galaxy_notify.redis_state.permissions import check_rights
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.outage import EdgeLog

T = TypeVar("T")
# While Redis is away a start opens at most two connections a second, like a later outage.
_RETRIES: Final = RetryPolicy(first_pause_s=0.6, least_pause_s=0.6)
_LOOP: Final = -1


@dataclass(frozen=True, slots=True)
class DeploymentJoin(Generic[T]):
    """Joins the deployment, and waits for Redis for as long as it takes.

    *join* is one attempt, see `join_as`; it returns what the deployment agreed on.
    """

    join: Callable[[], Awaitable[T]]
    telemetry: Telemetry
    supervisor: Supervisor
    watchdog: ProgressWatchdog
    log: FilteringBoundLogger

    async def run(self, stop: asyncio.Event) -> T | None:
        """Return what *join* returned; None if stopped first. Raises `ConfigurationError`."""
        flag = StopFlag(partial(self.watchdog.progressed, _LOOP), stop)
        log = OutageLog(EdgeLog(self.log))
        retry = RetryUntilStopped(flag, log, Stagger(), self._report, _RETRIES)
        flag.beat()
        try:
            joined = None if flag else await retry(self.join)
        except Stopped:
            return None
        finally:
            self.watchdog.forget(_LOOP)
        return None if flag else joined

    async def _report(self, fault: Fault) -> bool:
        refuse_permanent(fault)
        self.telemetry.redis_error(fault.code)
        self.supervisor.status(f"waiting for redis: {fault.code}")
        return False


async def join_as(role: Role, client: redis.asyncio.Redis, settings: Settings) -> SharedSettings:
    """Join the deployment, a daemon as its leader; raise `RedisFault`, `ConfigurationError`."""
    own, mine = settings.redis, SharedSettings.from_settings(settings)
    key_space, user = KeySpace(own.prefix, mine), user_name(settings)
    try:
        await check_rights(client, key_space.keys(0), role, user)
        agreed = await run_flow(client, join_deployment(own.prefix, mine, lead=role is Role.DAEMON))
        by_node = {node_of(at_shard(client, keys.tag)): keys for keys in key_space.all_keys}
        for keys in by_node.values():
            await check_durability(client, keys, Confirmation.of(own.durability))
    except RedisFault as error:
        if error.fault.remedy is Remedy.RESOLVE:
            await refresh_primary(client)
        raise
    return agreed
