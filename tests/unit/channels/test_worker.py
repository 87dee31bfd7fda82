"""The worker of a channel: how it records what became of a route."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest

from galaxy_notify.channels import worker as worker_module
from galaxy_notify.channels.endings import Ending
from galaxy_notify.channels.rate import Rate
from galaxy_notify.channels.reporter import ChannelReporter
from galaxy_notify.channels.sources import Held, Sources
from galaxy_notify.channels.worker import ChannelWorker
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.delivery_outcomes import Deliver, Ended
from galaxy_notify.redis_state.leases import Claim, ClaimedMember
from galaxy_notify.redis_state.rate import Taken
from galaxy_notify.redis_state.settlement import Release
from galaxy_notify.telemetry import Telemetry
from tests.support.scripted_shard import (
    AWAY,
    FOUND,
    IDLE,
    MEMBER,
    scripted_shard,
    source_at,
)
from tests.support.telemetry import Lines, json_logs
from tests.support.wait import HANG_S, until

DELIVERED = Ending(Deliver(MEMBER, b"2D", 1000), was_sent=True)
DONE = Ended(1000, [Answer("delivered", "")])
REFUSED = Ended(1000, [Answer("fault", "OOM")])
STALE = Ended(1000, [Answer("stale", "")])
KEPT = "outcome kept until the route is claimed again"


class World:
    """A worker with one place, whose sends all end as the test says."""

    def __init__(
        self, ttl_ms: int = 600_000, ending: Ending = DELIVERED, rate: Rate | None = None
    ) -> None:
        self.shard, self.store = scripted_shard()
        self.source = source_at(self.shard, ttl_ms=ttl_ms)
        self.sources = Sources([self.source], rate)
        self.ending = ending
        self.sent: list[Held] = []
        self.is_closed = False
        reporter = ChannelReporter(Telemetry.off(), "mine", "host-1-abcd")
        anything = cast("Any", self)
        self.worker = ChannelWorker(anything, self.sources, anything, reporter)

    async def send(self, held: Held) -> Ending:
        """Stand in for a kind and what sends by it."""
        self.sent.append(held)
        return self.ending

    async def close(self) -> None:
        """Keep that the kind is closed."""
        self.is_closed = True

    async def work(self, *answers: Any) -> None:
        """Work until all answers of Redis are used up."""
        self.store.answers = list(answers)
        working = asyncio.create_task(self.worker.run(1))
        await until(lambda: working.done() or not self.store.answers, "all is answered")
        self.worker.stop()
        await asyncio.wait_for(working, HANG_S)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Give a function that reads what was logged."""
    with json_logs() as read:
        yield read


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose no time between tries."""
    monkeypatch.setattr(worker_module, "_PAUSE_S", 0.001)


@pytest.mark.parametrize(
    "failures",
    [[AWAY], [REFUSED], [AWAY, REFUSED, AWAY]],
    ids=["away", "refused", "both"],
)
def test_record__is_repeated_until_redis_takes_it(failures: list[Any]) -> None:
    """It is sent once, and the outcome is recorded by the very call that failed before."""

    async def scenario() -> None:
        world = World()
        await world.work(FOUND, *failures, DONE, IDLE)
        assert len(world.sent) == 1
        outcomes = world.store.made("end")
        assert len(outcomes) == len(failures) + 1
        assert all(one == [DELIVERED.outcome] for one in outcomes)
        assert world.is_closed

    asyncio.run(scenario())


def test_record__whose_reply_was_lost_is_no_conflict(lines: Lines) -> None:
    """The repeat is answered ``stale``, for the first call was carried out."""

    async def scenario() -> None:
        world = World()
        await world.work(FOUND, AWAY, STALE, IDLE)
        assert not [line for line in lines() if "conflict" in line]

    asyncio.run(scenario())


def test_record__ends_with_the_lease_and_the_outcome_is_known_then(lines: Lines) -> None:
    """The route is claimed again: what became of it is recorded, and it is not sent."""

    async def scenario() -> None:
        world = World(ttl_ms=200)
        world.store.answers = [FOUND, *[AWAY] * 10_000]
        working = asyncio.create_task(world.worker.run(1))
        await until(lambda: KEPT in [line["event"] for line in lines()], "it is kept")
        world.store.answers = [FOUND, DONE, IDLE]
        await until(lambda: not world.store.answers, "it is recorded")
        world.worker.stop()
        await working
        assert len(world.sent) == 1
        assert world.store.made("end")[-1] == [DELIVERED.outcome]

    asyncio.run(scenario())


def test_record__of_a_release_is_not_kept() -> None:
    """It was not sent: it is worked when it is claimed again."""

    async def scenario() -> None:
        world = World(ttl_ms=200, ending=Ending(Release(MEMBER, 0)))
        world.store.answers = [FOUND, *[AWAY] * 10_000]
        working = asyncio.create_task(world.worker.run(1))
        await until(lambda: len(world.store.made("claim")) > 1, "its lease has ended")
        world.store.answers = [FOUND, DONE, IDLE]
        await until(lambda: len(world.sent) == 2 and not world.store.answers, "it is sent")
        world.worker.stop()
        await working

    asyncio.run(scenario())


@pytest.mark.parametrize("attempts", [0, 1])
def test_rate__is_used_by_what_was_sent(attempts: int) -> None:
    """A route that waits for its host takes nothing of it away; neither does an empty claim."""
    asked: list[int] = []

    async def take(**_: int) -> Taken:
        asked.append(1)
        return Taken(1, 0)

    async def scenario() -> None:
        ending = DELIVERED if attempts else Ending(Release(MEMBER, 60_000))
        world = World(ending=ending, rate=Rate(1, take))
        await world.work(FOUND, DONE, FOUND, DONE, IDLE)
        assert len(world.sent) == 2
        assert len(asked) == 1 + 2 * attempts

    asyncio.run(scenario())


@pytest.mark.parametrize("abandoned", [0, 1])
def test_stop__gives_back_what_was_claimed_meanwhile(abandoned: int) -> None:
    """A claim under way at a stop: the route is released at once, unless that would hide something.

    A release forgets that a route was abandoned, and at_most_once must not forget it.
    """

    async def scenario() -> None:
        world = World()
        reply: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        world.store.answers = [reply, DONE]
        working = asyncio.create_task(world.worker.run(1))
        await until(lambda: world.store.made("claim"), "it claims")
        world.worker.stop()
        member = ClaimedMember(MEMBER, b"1p", abandoned=abandoned)
        reply.set_result(Claim("claimed", "t", 1000, members=[member]))
        await asyncio.wait_for(working, HANG_S)
        assert len(world.sent) == abandoned
        ((outcome,),) = world.store.made("end")
        assert isinstance(outcome, Deliver if abandoned else Release)

    asyncio.run(scenario())


def test_defect__ends_the_worker_behind_its_other_places() -> None:
    """The error of a kind is no route's fault: it is raised once the others have ended."""

    async def scenario() -> None:
        world = World()

        async def broken(held: Held) -> Ending:
            del held
            raise ZeroDivisionError

        world.send = broken  # type: ignore[method-assign]
        world.store.answers = [FOUND, IDLE, IDLE]
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(world.worker.run(3), HANG_S)
        assert world.is_closed

    asyncio.run(scenario())


def test_fault_of_a_claim__with_a_new_primary_is_looked_up() -> None:
    """Where another primary may help, it is looked for before the next try."""

    async def scenario() -> None:
        world = World()
        moved = RedisFault(Fault("READONLY", Remedy.RESOLVE, "a replica"))
        await world.work(moved, FOUND, DONE, IDLE)
        names = [name for name, _ in world.store.calls]
        assert names[:3] == ["claim", "refresh", "claim"]

    asyncio.run(scenario())
