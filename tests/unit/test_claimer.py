"""What the claimer says of a claim that it had to ask again, and when it tells that it lives."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from galaxy_notify.publishing.claimer import Claimer
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_state.calls import Claim, ClaimedMember, ClaimLimits
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.store import Store
from galaxy_notify.telemetry import Telemetry

_LIMITS = ClaimLimits(members=8, ttl_ms=30_000, bytes=1 << 20, record_bytes=1 << 18, hold_at=0)


class _Unheard:
    """A store of which the first answers are not heard."""

    def __init__(self, lost: int) -> None:
        self._lost = lost

    async def claim(self, _: str, token: str, *__: Any, **___: Any) -> Claim:
        if self._lost:
            self._lost -= 1
            raise RedisFault(Fault("timeout", Remedy.RETRY, "Timeout reading"))
        return Claim("claimed", token, 1, members=[ClaimedMember(b"m", b"s")])

    async def beat(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("lost", [0, 1])
def test_claim__tells_whether_it_was_asked_again(lost: int) -> None:
    """One that may arrive twice is told from one that cannot."""
    reporter = Reporter(Telemetry.off(), Keys("gn", 0), "host-1-abcd", 8)
    claimer = Claimer(cast(Store, _Unheard(lost)), reporter, ["push"], _LIMITS, 1000)

    async def claims() -> list[bool]:
        for _ in range(lost):
            with pytest.raises(RedisFault):
                await claimer.claim(0)
        return [(await claimer.claim(0)).claim.asked_again for _ in range(2)]

    assert asyncio.run(claims()) == [bool(lost), False]


class _SlowlyBeaten:
    """A store that answers the first beat only when it is told to."""

    def __init__(self) -> None:
        self.asked, self.answer = asyncio.Event(), asyncio.Event()
        self.beats = 0

    async def claim(self, _: str, token: str, *__: Any, **___: Any) -> Claim:
        return Claim("idle", token, 1)

    async def beat(self, *_: Any) -> None:
        self.beats += 1
        self.asked.set()
        if self.beats == 1:
            await self.answer.wait()


def test_claim__writes_after_a_fault_whatever_is_answered_late() -> None:
    """A beat from before the fault does not spare the next claim its own: it proves the primary."""
    reporter = Reporter(Telemetry.off(), Keys("gn", 0), "host-1-abcd", 8)
    store = _SlowlyBeaten()
    claimer = Claimer(cast(Store, store), reporter, ["push"], _LIMITS, 1000)

    async def run() -> None:
        await claimer.claim(0)
        late = asyncio.create_task(claimer.claim(0))
        await store.asked.wait()
        await claimer.recover(RedisFault(Fault("connection", Remedy.RETRY, "gone")))
        store.answer.set()
        await late
        await claimer.claim(1)

    asyncio.run(run())
    assert store.beats == 2
