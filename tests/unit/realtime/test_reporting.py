"""What a process reports of itself: regularly, through an outage, and no more at its end."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from galaxy_notify.realtime import reporting as reporting_module
from galaxy_notify.realtime.connections import Connections
from galaxy_notify.realtime.reporting import Reporting
from galaxy_notify.redis_client.faults import NO_DEPLOYMENT, RedisFault
from galaxy_notify.redis_state.gateways import GatewayRegistry
from galaxy_notify.redis_state.inbox import Inbox
from galaxy_notify.settings import settings_from
from galaxy_notify.telemetry import Telemetry
from tests.support.telemetry import json_logs
from tests.support.wait import until


class _Redis:
    """The registry and the inbox of a process."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, int]] = []
        self.fails = False
        self.has_left = 0

    async def report(self, connections: int, users: int) -> None:
        self._check()
        self.reports.append((connections, users))

    async def leave(self) -> None:
        self._check()
        self.has_left += 1

    async def lag(self) -> int:
        return 7

    def _check(self) -> None:
        if self.fails:
            raise RedisFault(NO_DEPLOYMENT)


def _reporting(redis: _Redis, shown: list[str]) -> Reporting:
    connections = Connections(settings_from({}).realtime, Telemetry.off())
    registry: Any = redis
    return Reporting(
        cast("GatewayRegistry", registry),
        cast("Inbox", registry),
        connections,
        Telemetry.off(),
        shown.append,
    )


def test_report__goes_on_through_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged once when it begins and once when it ends; the status line stays true."""
    monkeypatch.setattr(reporting_module, "_REPORT_S", 0.001)

    async def scenario() -> None:
        redis, shown = _Redis(), list[str]()
        reporting = _reporting(redis, shown)
        running = asyncio.ensure_future(reporting.run())
        await until(lambda: len(redis.reports) > 2, "reports")
        redis.fails = True
        seen = len(shown)
        await until(lambda: len(shown) > seen + 3, "it goes on")
        with pytest.raises(RedisFault):
            await reporting.write()
        redis.fails = False
        seen = len(redis.reports)
        await until(lambda: len(redis.reports) > seen, "reports again")
        reporting.stop()
        await running
        assert redis.has_left == 1
        assert set(shown) == {"serving 0 connections of 0 users"}

    with json_logs() as lines:
        asyncio.run(scenario())
        events = [line["event"] for line in lines()]
    assert events == ["redis unavailable", "redis available again"]


def test_report__that_cannot_leave_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its entry lapses by itself."""
    monkeypatch.setattr(reporting_module, "_REPORT_S", 0.001)

    async def scenario() -> None:
        redis = _Redis()
        redis.fails = True
        reporting = _reporting(redis, [])
        reporting.stop()
        await reporting.run()
        assert redis.has_left == 0

    asyncio.run(scenario())
