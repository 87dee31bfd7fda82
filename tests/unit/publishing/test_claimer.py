"""The claimer: claims it repeats, channels it visits, and when it reports that it lives."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from galaxy_notify.publishing.claimer import Claimer
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.leases import Claim, ClaimedMember
from galaxy_notify.redis_state.publish_call import Published
from galaxy_notify.redis_state.store import Store
from galaxy_notify.settings import settings_from
from galaxy_notify.telemetry import Telemetry
from tests.support.worker import publisher_state


def _claimer_on(store: object) -> Claimer:
    state = ShardState(publisher_state(), Keys("gn", 0))
    reporter = Reporter(Telemetry.off(), state.keys, "host-1-abcd", 8)
    return Claimer(cast(Store, store), state, reporter)


class _Leaves:
    """A store whose script publishes nothing, and leaves what is due to a claim."""

    async def publish(self, *_: Any) -> Published:
        return Published("published", 1, left=128)


class _Unheard(_Leaves):
    """A store of which the first answers are not heard."""

    def __init__(self, lost: int) -> None:
        self._lost = lost

    async def claim(self, _: str, token: str, *__: Any, **___: Any) -> Claim:
        if self._lost:
            self._lost -= 1
            raise RedisFault(Fault("timeout", Remedy.RETRY, "Timeout reading"))
        return Claim("claimed", token, 1, members=[ClaimedMember(b"m", b"s")])

    async def identify(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("lost", [0, 1])
def test_claim__tells_whether_it_was_asked_again(lost: int) -> None:
    """One that may arrive twice is told from one that cannot."""
    claimer = _claimer_on(_Unheard(lost))

    async def claims() -> list[bool]:
        for _ in range(lost):
            with pytest.raises(RedisFault):
                await claimer.claim(0)
        batches = [(await claimer.claim(0)).batch for _ in range(2)]
        return [batch.claim.asked_again for batch in batches if batch is not None]

    assert asyncio.run(claims()) == [bool(lost), False]


class _SlowlyBeaten(_Leaves):
    """A store that answers the first beat only when it is told to."""

    def __init__(self) -> None:
        self.asked, self.answer = asyncio.Event(), asyncio.Event()
        self.beats = 0

    async def claim(self, _: str, token: str, *__: Any, **___: Any) -> Claim:
        return Claim("idle", token, 1)

    async def identify(self, *_: Any) -> None:
        self.beats += 1
        self.asked.set()
        if self.beats == 1:
            await self.answer.wait()


def test_claim__writes_after_a_fault_whatever_is_answered_late() -> None:
    """A beat from before the fault does not spare the next claim its own: it proves the primary."""
    store = _SlowlyBeaten()
    claimer = _claimer_on(store)

    async def run() -> None:
        await claimer.claim(0)
        late = asyncio.create_task(claimer.claim(0))
        await store.asked.wait()
        await claimer.on_error(RedisFault(Fault("connection", Remedy.RETRY, "gone")))
        store.answer.set()
        await late
        await claimer.claim(1)

    asyncio.run(run())
    assert store.beats == 2


class _EmptyStore:
    """Stands in for a store in which nothing is due; notes which slot asked for which channel."""

    def __init__(self) -> None:
        self.asked: dict[int, list[str]] = {}

    async def claim(self, channel: str, token: str, *_: object, alone: bool) -> Claim:
        assert not alone
        self.asked.setdefault(int(token.split(":")[1]), []).append(channel)
        await asyncio.sleep(0)
        return Claim("idle", token, 0)


def test_claimer__asks_for_every_channel_whoever_claims_beside_it() -> None:
    """Slots that claim at the same time each visit all channels, so that none waits for a poll."""
    store, channels = _EmptyStore(), ["email", "push", "sms"]
    worker = {"channels": channels, "publish": "leased"}
    publisher = publisher_state(settings_from({"worker": worker}))
    state = ShardState(publisher, Keys("gn", 0))
    reporter = Reporter(Telemetry.off(), state.keys, "host-1-abcd", 8)
    claimer = Claimer(cast("Store", store), state, reporter)

    async def main() -> None:
        await asyncio.gather(*(claimer.claim(slot) for slot in range(4)))

    asyncio.run(main())
    assert [sorted(store.asked[slot]) for slot in range(4)] == [channels] * 4
    assert {asked[0] for asked in store.asked.values()} == set(channels)
