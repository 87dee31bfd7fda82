"""Work that would hold up an event loop: what is heavy is validated and planned in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from galaxy_notify.intake.plan import Item, Plan, plans_of
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.model.intent import Intent
from galaxy_notify.redis_state.shared_settings import SharedSettings

T = TypeVar("T")

#: What is checked and planned in a few milliseconds: so many values, or kilobytes of text.
_LIGHT: Final = 4096
_OF_AN_INTENT: Final = 16
_BYTES_A_VALUE: Final = 64


class Planner:
    """Keeps much work off an event loop: what is heavy is done in threads, in turn for a loop."""

    def __init__(self) -> None:
        # A lock belongs to the loop in which somebody first waited for it.
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    async def plans_of(
        self, intents: Sequence[Item], shared: SharedSettings, at_ms: int
    ) -> Iterable[Plan | Receipt]:
        """Validate and plan intents; each is planned when it is asked for where all are light."""
        if not is_heavy(intents):
            return plans_of(intents, shared, at_ms)
        return await self.run(lambda: [*plans_of(intents, shared, at_ms)])

    async def run_for(self, intent: Item, work: Callable[[], T]) -> T:
        """Return what *work* returns, done in a thread where the intent is heavy."""
        return await self.run(work) if is_heavy([intent]) else work()

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work in a thread, when all that this event loop asked for before is done."""
        turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with turn:
            return await asyncio.to_thread(work)


def is_heavy(values: Sequence[object]) -> bool:
    """Tell whether values take long to check; this itself never does."""
    left = _LIGHT - _OF_AN_INTENT * len(values)
    waiting: list[object] = [*values[:_LIGHT]]
    while waiting and left >= 0:
        value = waiting.pop()
        if isinstance(value, Intent):
            value = value.__dict__
        if isinstance(value, str | bytes):
            left -= 1 + len(value) // _BYTES_A_VALUE
        elif isinstance(value, dict | list | tuple):
            left -= 1 + len(value)
            if left >= 0:
                waiting += value.values() if isinstance(value, dict) else value
    return left < 0
