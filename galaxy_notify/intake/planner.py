"""Validation and planning of heavy intents in threads, so that no event loop is blocked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from galaxy_notify.intake.plan import IntentOrReceipt, Plan, plans_of
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.model.intent import Intent
from galaxy_notify.redis_state.shared_settings import SharedSettings

T = TypeVar("T")

#: This many values are checked and planned in a few milliseconds.
_LIGHT: Final = 4096
_VALUES_PER_INTENT: Final = 16
_BYTES_PER_VALUE: Final = 64
# Tuples, made once: a union of types would be made at each look.
_TEXT: Final = (str, bytes)
_CONTAINERS: Final = (dict, list, tuple)
_USUAL: Final = _TEXT + _CONTAINERS
_WEIGHTLESS: Final = frozenset({type(None), bool, int, float})


class Planner:
    """Runs heavy work in threads, one at a time for each event loop."""

    def __init__(self) -> None:
        # A lock belongs to the loop in which it is first awaited.
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    async def plans_of(
        self, intents: Sequence[IntentOrReceipt], shared: SharedSettings, at_ms: int
    ) -> Iterable[Plan | Receipt]:
        """Return the plans of intents: lazily if they are light, in a thread if they are heavy."""
        if not is_heavy(intents):
            return plans_of(intents, shared, at_ms)
        return await self.run(lambda: [*plans_of(intents, shared, at_ms)])

    async def run(self, work: Callable[[], T]) -> T:
        """Return the result of *work* in a thread, after all earlier work of this event loop."""
        lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with lock:
            return await asyncio.to_thread(work)


def is_heavy(values: Sequence[object]) -> bool:
    """Return whether values take long to check; the answer itself is always quick."""
    budget = _LIGHT - _VALUES_PER_INTENT * len(values)
    pending: list[Iterable[object]] = [values[:_LIGHT]]
    while pending and budget >= 0:
        for value in pending.pop():
            # Most fields of an intent: this is on the way of every accept.
            if type(value) in _WEIGHTLESS:
                continue
            # The class is compared first: pydantic makes the question of a subclass a slow one.
            if type(value) is Intent or (
                not isinstance(value, _USUAL) and isinstance(value, Intent)
            ):
                value = value.__dict__
            if isinstance(value, _TEXT):
                budget -= 1 + len(value) // _BYTES_PER_VALUE
            elif isinstance(value, _CONTAINERS):
                budget -= 1 + len(value)
                if budget < 0:
                    return True
                pending.append([*value.values()] if isinstance(value, dict) else value)
    return budget < 0
