"""Plans of what is handed in: on the caller's thread, or beside an event loop where it is much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake.planning import Plan, plan
from galaxy_notify.intake.receipts import Receipt, refused
from galaxy_notify.model.ids import id_for_key, is_first_part, random_id
from galaxy_notify.model.intent import Intent
from galaxy_notify.redis_client.environment import REAL
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.telemetry.tracing import current_traceparent

T = TypeVar("T")
#: An intent, as an object or as its fields; in a list also the receipt of one already refused.
IntentLike = Intent | Mapping[str, Any]
Item = IntentLike | Receipt

#: What is checked and planned in a few milliseconds: so many values, or kilobytes of text.
_LIGHT: Final = 4096
_CLOCKS_APART_MS: Final = 86_400_000
_MONTH_MS: Final = 31 * 86_400_000
_OF_AN_INTENT: Final = 16
_BYTES_A_VALUE: Final = 64


def parsed(intent: IntentLike, notification_id: str | None) -> Intent:
    """Read an intent that may be repeated under an id; raise `InvalidIntent`."""
    if notification_id is not None and not is_first_part(notification_id):
        raise InvalidIntent("notification_id", "must be an id that an accept gave")
    return Intent.parse(intent)


def name_of(intent: Intent, notification_id: str | None, at_ms: int) -> str | None:
    """Name the notification before anything is sent, so that a repeat finds it."""
    return notification_id or (None if intent.idempotency_key else random_id(at_ms))


def repeat_with(intent: Intent, named: str | None) -> str:
    """Return the id under which a repeat finds the notification."""
    return named or id_for_key(intent.producer, intent.idempotency_key or "")


def is_recent(notification_id: str) -> bool:
    """Tell whether an accept without a key may have made this id within the last month."""
    age_ms = REAL.now_ms() - int(notification_id[:12], 16)
    return -_CLOCKS_APART_MS <= age_ms <= _MONTH_MS


def plans_of(
    intents: Iterable[Item], deployment: Deployment, at_ms: int
) -> Iterator[Plan | Receipt]:
    """Plan intents one by one, each when it is asked for."""
    traceparent = current_traceparent()
    return (plan_of(intent, deployment, at_ms, traceparent) for intent in intents)


def plan_of(
    intent: Item,
    deployment: Deployment,
    at_ms: int,
    traceparent: str,
    named: str | None = None,
) -> Plan | Receipt:
    """Return the plan of an intent, or the receipt that says why there is none."""
    if isinstance(intent, Receipt):
        return intent
    try:
        return plan(Intent.parse(intent), deployment, at_ms, traceparent, named)
    except InvalidIntent as error:
        return refused(error)


def plan_named(
    intent: Intent, deployment: Deployment, named: str | None, at_ms: int
) -> Plan | Receipt:
    """Plan an intent that was read, under the name it was given."""
    return plan_of(intent, deployment, at_ms, current_traceparent(), named)


class Planner:
    """Keeps much work off an event loop: what is heavy is done in threads, in turn for a loop."""

    def __init__(self) -> None:
        # A lock belongs to the loop in which somebody first waited for it.
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    async def plans_of(
        self, intents: Sequence[Item], deployment: Deployment, at_ms: int
    ) -> Iterable[Plan | Receipt]:
        """Plan intents: lazily where all are light."""
        if not is_heavy(intents):
            return plans_of(intents, deployment, at_ms)
        return await self.run(lambda: [*plans_of(intents, deployment, at_ms)])

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
