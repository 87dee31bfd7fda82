"""Readiness: one write for all who ask at the same time, and an answer that gives nothing away."""

from __future__ import annotations

import asyncio

import pytest

from galaxy_notify.realtime import readiness as readiness_module
from galaxy_notify.realtime.readiness import Readiness
from galaxy_notify.redis_client.faults import NO_DEPLOYMENT, RedisFault
from galaxy_notify.web.problems import Problem


class _Writes:
    def __init__(self) -> None:
        self.count = 0
        self.fails = False
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self) -> None:
        self.count += 1
        await self.may_end.wait()
        if self.fails:
            raise RedisFault(NO_DEPLOYMENT)


def test_questions__at_the_same_time_share_a_write() -> None:
    """Whoever asks often costs Redis no more than one write in half a second."""

    async def scenario() -> None:
        readiness, writes = Readiness(), _Writes()
        readiness.write = writes
        writes.may_end.clear()
        asking = [asyncio.ensure_future(readiness.write_ms()) for _ in range(50)]
        await asyncio.sleep(0)
        asking[0].cancel()
        await asyncio.sleep(0)
        writes.may_end.set()
        found = await asyncio.gather(*asking[1:])
        assert (len(set(found)), writes.count) == (1, 1)

    asyncio.run(scenario())


def test_write__is_repeated_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is kept no longer than a success."""
    monkeypatch.setattr(readiness_module, "_KEPT_S", -1.0)

    async def scenario() -> None:
        readiness, writes = Readiness(), _Writes()
        readiness.write = writes
        assert await readiness.write_ms() >= 0
        writes.fails = True
        with pytest.raises(Problem) as refused:
            await readiness.write_ms()
        assert refused.value.status == 503
        assert NO_DEPLOYMENT.code in refused.value.detail
        writes.fails = False
        assert await readiness.write_ms() >= 0
        assert writes.count == 3

    asyncio.run(scenario())


def test_process__without_a_deployment_or_at_its_end_is_not_ready() -> None:
    """A load balancer sends nobody there; nothing is written for the answer."""

    async def scenario() -> None:
        readiness, writes = Readiness(), _Writes()
        with pytest.raises(Problem, match="no deployment"):
            await readiness.write_ms()
        readiness.write = writes
        readiness.stop()
        with pytest.raises(Problem, match="stopping") as refused:
            await readiness.write_ms()
        assert refused.value.headers["Retry-After"]
        assert writes.count == 0

    asyncio.run(scenario())
