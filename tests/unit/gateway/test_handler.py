"""What a handler of batches returns, and what it means."""

from __future__ import annotations

import asyncio

from galaxy_notify.gateway.handler import BatchRunner
from tests.support.events import event_of
from tests.support.wait import HANG_S

EVENT = event_of(1)


def test_batch_runner__mapping_of_failures() -> None:
    """Each named event fails with its reason; what has no text of its own fails all the same."""

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    async def outcome(answer: object) -> object:
        async def handler(_: list[object]) -> object:
            return answer

        return await BatchRunner(handler, HANG_S).run_batch([EVENT, event_of(2)])

    first = EVENT.event_id
    assert asyncio.run(outcome(None)) == asyncio.run(outcome({})) == {}
    for given, reason in [
        ("no such user", "no such user"),
        (None, "None"),
        (ValueError("x"), "ValueError: x"),
        (Mute(), "Mute"),
    ]:
        failures = asyncio.run(outcome({first: given}))
        assert isinstance(failures, dict)
        assert {event_id: failure.reason for event_id, failure in failures.items()} == {
            first: reason
        }
