"""A claimer on a store that answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from galaxy_notify.publishing.claimer import Claimer, ClaimResult
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.leases import Claim, ClaimedMember, ClaimLimits
from galaxy_notify.redis_state.publish_call import Published
from galaxy_notify.redis_state.store import Store
from galaxy_notify.settings import settings_from
from galaxy_notify.telemetry import Telemetry
from tests.support.worker import publisher_state

TIMEOUT = RedisFault(Fault("timeout", Remedy.RETRY, "Timeout reading"))
IDLE = Published("idle", 1)
PAUSED = Published("paused", 1)
HELD = Published("held", 1, stream_length=200)


def routes(count: int, left: int = 0) -> Published:
    """Return the reply of a script that published *count* routes."""
    return Published("published", 1, None, 9, left, count, [("turn", count)], [(1, count)])


class ScriptedStore:
    """Answers publishes from a list and claims with as many members as it is asked for."""

    def __init__(self, *answers: Published | RedisFault, due: int = 1000) -> None:
        self.calls: list[tuple[str, str, int]] = []
        self.tokens: list[str] = []
        #: When the next claim was to come, at each publish.
        self.claims_at: list[float] = []
        self.claim_at: Callable[[], float] = float
        self.claim_fault: RedisFault | None = None
        self.confirm_fault: RedisFault | None = None
        self._answers, self._due = list(answers), due

    async def publish(self, channel: str, limits: ClaimLimits, _: object) -> Published:
        self.calls.append(("publish", channel, limits.members))
        self.claims_at.append(self.claim_at())
        answer = self._answers.pop(0) if self._answers else IDLE
        if isinstance(answer, RedisFault):
            raise answer
        return answer

    async def confirm_published(self) -> None:
        self.calls.append(("confirm", "", 0))
        if self.confirm_fault:
            raise self.confirm_fault

    async def claim(
        self, channel: str, token: str, limits: ClaimLimits, *, alone: bool = False
    ) -> Claim:
        assert not alone
        self.calls.append(("claim", channel, limits.members))
        self.tokens.append(token)
        if fault := self.claim_fault:
            self.claim_fault = None
            raise fault
        members = [ClaimedMember(b"m", b"s")] * min(limits.members, self._due)
        return Claim("claimed" if members else "idle", token, 1, members=members)

    async def identify(self, *_: Any) -> None:
        pass

    async def progressed(self, *_: Any) -> None:
        pass


class Counting(Telemetry):
    """Counts the routes of batches."""

    def __init__(self) -> None:
        self.published = 0

    def batch_settled(self, channel: str, counts: Any, lateness_s: Any) -> None:
        self.published += sum(counts.values())
        assert len(lateness_s) == sum(counts.values())


class ClaimingShard:
    """A claimer with its state."""

    def __init__(self, store: ScriptedStore, **worker: Any) -> None:
        settings = settings_from({"worker": worker})
        self.state = ShardState(publisher_state(settings), Keys("gn", 0))
        self.telemetry = Counting()
        reporter = Reporter(self.telemetry, self.state.keys, "host-1-abcd", 8)
        self.claimer = Claimer(cast(Store, store), self.state, reporter)

    def claim(self, slot: int = 0) -> ClaimResult:
        """Take what is due."""
        return asyncio.run(self.claimer.claim(slot))
