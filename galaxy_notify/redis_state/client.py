"""Clients of producers: they join the deployment on first use and re-send what is safe to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from galaxy_notify.redis_state.connection import async_client, sync_client
from galaxy_notify.redis_state.deployment import (
    Deployment,
    Layout,
    join_deployment,
    join_deployment_sync,
    read_deployment,
    read_deployment_sync,
)
from galaxy_notify.redis_state.faults import Remedy
from galaxy_notify.redis_state.place import redis_access, redis_url
from galaxy_notify.redis_state.runner import RedisFault, run_all, run_all_sync
from galaxy_notify.redis_state.scripts import Call, Read, Scripts
from galaxy_notify.settings import Settings

# Every script is safe to run twice, so a short fault need not reach the producer.
_PAUSES_S: Final = (0.02, 0.1, 0.4)


class SyncClient:
    """Runs scripts for `Notifier`; safe to share between threads."""

    def __init__(self, settings: Settings, *, adopt: bool) -> None:
        """Prepare; *adopt* takes over what the deployment agreed on instead of comparing it."""
        self._client = sync_client(redis_url(settings), **redis_access(settings))
        self._prefix = settings.redis.prefix
        self._mine = Deployment.from_settings(settings)
        self._adopt = adopt
        self._layout: Layout | None = None

    def layout(self) -> Layout:
        """Return where everything lies; the first call asks Redis. Raises `RedisFault`."""
        if self._layout is None:
            for pause in (*_PAUSES_S, None):
                try:
                    self._layout = Layout(self._prefix, self._join())
                    break
                except RedisFault as error:
                    _raise_if_final(error, pause)
                    time.sleep(pause or 0)
        assert self._layout is not None
        return self._layout

    def run_all(self, calls: Sequence[Call | Read] | Scripts) -> list[Any]:
        """Run calls in one round trip; a reply or a fault for each. Raises `RedisFault`."""
        for pause in _PAUSES_S:
            try:
                return run_all_sync(self._client, calls)
            except RedisFault as error:
                _raise_if_final(error, pause)
                time.sleep(pause)
        return run_all_sync(self._client, calls)

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

    def __init__(self, settings: Settings, *, adopt: bool) -> None:
        """Prepare; *adopt* takes over what the deployment agreed on instead of comparing it."""
        self._client = async_client(redis_url(settings), **redis_access(settings))
        self._prefix = settings.redis.prefix
        self._mine = Deployment.from_settings(settings)
        self._adopt = adopt
        self._layout: Layout | None = None

    async def layout(self) -> Layout:
        """Return where everything lies; the first call asks Redis. Raises `RedisFault`."""
        if self._layout is None:
            for pause in (*_PAUSES_S, None):
                try:
                    self._layout = Layout(self._prefix, await self._join())
                    break
                except RedisFault as error:
                    _raise_if_final(error, pause)
                    await asyncio.sleep(pause or 0)
        assert self._layout is not None
        return self._layout

    async def run_all(self, calls: Sequence[Call | Read] | Scripts) -> list[Any]:
        """Run calls in one round trip; a reply or a fault for each. Raises `RedisFault`."""
        for pause in _PAUSES_S:
            try:
                return await run_all(self._client, calls)
            except RedisFault as error:
                _raise_if_final(error, pause)
                await asyncio.sleep(pause)
        return await run_all(self._client, calls)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _join(self) -> Deployment:
        if self._adopt and (found := await read_deployment(self._client, self._prefix)):
            found.check_format()
            return found
        return await join_deployment(self._client, self._prefix, self._mine)


def _raise_if_final(error: RedisFault, pause: float | None) -> None:
    if pause is None or error.fault.remedy is Remedy.CONFIGURE or error.fault.code == "timeout":
        raise error
