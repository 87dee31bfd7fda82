"""What counts as handled while its mark is on the way to Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from galaxy_notify.gateway.acknowledger import Acknowledger
from galaxy_notify.gateway.options import ConsumerOptions
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag
from galaxy_notify.redis_client.faults import Fault
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog
from tests.support.events import event_of


class Member:
    """Redis as the acknowledger sees it: a look-up is answered when it is allowed to."""

    keys = Keys("gn", 0)
    group = "gateway"

    def __init__(self) -> None:
        self.marks: set[str] = set()
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def seen(self, event_ids: Sequence[str]) -> set[str]:
        """Look at the marks now, and answer later."""
        found = self.marks & set(event_ids)
        self.asked.set()
        await self.may_answer.wait()
        return found

    async def finish(self, done: Mapping[str, str], _: object) -> None:
        """Mark events."""
        self.marks |= set(done.values())


def _retry() -> RetryUntilStopped:
    async def recover(_: Fault) -> bool:
        raise AssertionError

    log = OutageLog(EdgeLog(get_logger("gateway")))
    return RetryUntilStopped(StopFlag(), log, Stagger(), recover)


def test_acknowledger__a_mark_that_a_look_up_misses() -> None:
    """An event is handled though its mark came behind the look-up, and before its answer."""

    async def scenario() -> None:
        member: Any = Member()
        acks = Acknowledger(member, ConsumerOptions(), _retry())
        acks.finish(event_of(1))
        ids = [event_of(number).event_id for number in (1, 2)]
        looking_up = asyncio.ensure_future(acks.handled(ids, _retry()))
        await member.asked.wait()
        await acks.flush()
        assert not acks.is_being_marked(ids[0])
        member.may_answer.set()
        assert await looking_up == {ids[0]}
        await acks.close()

    asyncio.run(scenario())


def test_acknowledger__is_full_at_64_events() -> None:
    """The next handler waits where 64 events are handled and not acknowledged."""

    async def scenario() -> None:
        member: Any = Member()
        acks = Acknowledger(member, ConsumerOptions(), _retry())
        for number in range(64):
            assert not acks.is_full
            acks.finish(replace(event_of(number), stream_id=f"1-{number}"))
        assert acks.is_full
        await acks.close()
        assert not acks.is_full

    asyncio.run(scenario())
