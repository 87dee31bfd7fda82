"""The producer's side: accept intents, and take them back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake.accepting import Flow, accept_flow, accept_one
from galaxy_notify.intake.cancelling import cancel_flow
from galaxy_notify.intake.planning import Plan, plan_or_refuse
from galaxy_notify.intake.preferences import AsyncPreferences, Preferences
from galaxy_notify.intake.receipts import Cancelled, Receipt, Rescheduled, refused
from galaxy_notify.intake.rescheduling import reschedule_flow
from galaxy_notify.intake.source import Source
from galaxy_notify.intake.unknown import Unknown, all_known, in_doubt, interrupted
from galaxy_notify.model.ids import Target, id_for_key, is_first_part, random_id, target_of
from galaxy_notify.model.intent import Intent, due_moment
from galaxy_notify.model.not_copied import NotCopied
from galaxy_notify.redis_state.access import settings_at
from galaxy_notify.redis_state.async_client import AsyncClient
from galaxy_notify.redis_state.client import SyncClient
from galaxy_notify.redis_state.deployment import Deployment, Layout
from galaxy_notify.redis_state.failed_calls import failed_call
from galaxy_notify.redis_state.faults import RedisFault
from galaxy_notify.telemetry.tracing import current_traceparent

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

T = TypeVar("T")
IntentLike = Intent | Mapping[str, Any]
Due = datetime | str | int


class Notifier(NotCopied):
    """Accepts intents; safe to share between threads.

    Every call ends within seconds: it raises `Unavailable` when Redis is away, its subclass
    `ServerRefused` when Redis takes nothing just now, `Misconfigured` when somebody has to change
    something first, `ConfigurationError` when the deployment does not fit the settings, and
    `AlreadyClosed` after `close`.
    """

    def __init__(self, settings: Settings, *, adopt: bool = False) -> None:
        """Prepare to connect as *settings* say; *adopt* takes what the deployment agreed on."""
        self._client = SyncClient(settings, adopt=adopt)

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "gn", **redis: Any) -> Self:
        """Return a notifier that reads shards, channels and limits from the deployment.

        Further arguments are settings of the section ``redis``, such as ``password``.
        """
        return cls(settings_at(url, prefix, redis), adopt=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accept(self, intent: IntentLike, *, notification_id: str | None = None) -> Receipt:
        """Accept one intent, or say what is wrong with it.

        After `Unavailable`, repeat it with the ``notification_id`` that the error carries: it is
        accepted once, whichever of the calls got through.
        """
        self._client.check_open()
        try:
            parsed = _parsed(intent, notification_id)
        except InvalidIntent as error:
            return refused(error)
        named = _name(parsed, notification_id)
        try:
            layout = self._client.layout()
            planned = plan_or_refuse(
                parsed, layout.deployment, _now_ms(), current_traceparent(), named
            )
            if isinstance(planned, Receipt):
                return planned
            if notification_id is not None:
                planned = planned.repeated()
            receipt = self._drive(accept_one(layout, planned))
        except RedisFault as error:
            raise failed_call(error, notification_id=_repeat_with(parsed, named)) from error
        return _known(receipt, planned, self._client.server)

    def accept_many(self, intents: Iterable[IntentLike]) -> list[Receipt]:
        """Accept intents in few round trips; a refused one does not hold up its neighbours.

        `Unavailable` carries the receipts so far, with None where the outcome is unknown. Where
        *intents* raises, `SourceFailed` carries those of the intents that it gave before.
        """
        self._client.check_open()
        receipts: list[Receipt | Unknown] = []
        source = Source(intents)
        while chunk := source.chunk():
            try:
                layout = self._client.layout()
                plans = _plans(chunk, layout.deployment)
                receipts += self._drive(accept_flow(layout, plans))
            except RedisFault as error:
                raise interrupted(receipts, chunk, source, error) from error
        return source.checked(all_known(receipts, self._client.server, source))

    def cancel(
        self, notification_id: str, *, route: str | None = None, actor: str = "client"
    ) -> Cancelled:
        """Take back what is not in the stream yet, or one route of it; *actor* is recorded."""
        self._client.check_open()
        target = target_of(notification_id, route)
        if target is None:
            return Cancelled(0, 0, unknown=True)
        return self._change(target, lambda layout: cancel_flow(layout, target, actor))

    def reschedule(
        self, notification_id: str, due_at: Due, *, route: str | None = None, actor: str = "client"
    ) -> Rescheduled:
        """Have what is not in the stream yet, or one route of it, due at another time.

        *due_at* is what an intent may have there. Raises `InvalidIntent` where it cannot be.
        """
        self._client.check_open()
        due_ms, target = due_moment(due_at), target_of(notification_id, route)
        if target is None:
            return Rescheduled(0, 0, unknown=True)
        now_ms = _now_ms()
        return self._change(
            target, lambda layout: reschedule_flow(layout, target, due_ms, now_ms, actor)
        )

    @property
    def preferences(self) -> Preferences:
        """Return what reads and changes the preferences of users."""
        return Preferences(self._client)

    def close(self) -> None:
        """Close the connections; every later call raises `AlreadyClosed`."""
        self._client.close()

    def _change(self, target: Target, flow: Callable[[Layout], Flow[T]]) -> T:
        try:
            return self._drive(flow(self._client.layout()))
        except RedisFault as error:
            raise failed_call(error, notification_id=target.notification_id) from error

    def _drive(self, flow: Flow[T]) -> T:
        told = self._client.run_flow(flow)
        if in_doubt(told):
            self._client.look_again()
        return told


class AsyncNotifier(NotCopied):
    """`Notifier` for asyncio: the same promises, with await."""

    def __init__(self, settings: Settings, *, adopt: bool = False, once: bool = False) -> None:
        """Prepare to connect as *settings* say; *adopt* takes what the deployment agreed on.

        *once* leaves short faults to the caller, who tries again.
        """
        self._client = AsyncClient(settings, adopt=adopt, once=once)

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "gn", **redis: Any) -> Self:
        """Return a notifier that reads shards, channels and limits from the deployment."""
        return cls(settings_at(url, prefix, redis), adopt=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def accept(self, intent: IntentLike, *, notification_id: str | None = None) -> Receipt:
        """Accept one intent, or say what is wrong with it; see `Notifier.accept`."""
        self._client.check_open()
        await self._client.turn()
        try:
            parsed = _parsed(intent, notification_id)
        except InvalidIntent as error:
            return refused(error)
        named = _name(parsed, notification_id)
        try:
            layout = await self._client.layout()
            planned = plan_or_refuse(
                parsed, layout.deployment, _now_ms(), current_traceparent(), named
            )
            if isinstance(planned, Receipt):
                return planned
            if notification_id is not None:
                planned = planned.repeated()
            receipt = await self._drive(accept_one(layout, planned))
        except RedisFault as error:
            raise failed_call(error, notification_id=_repeat_with(parsed, named)) from error
        return _known(receipt, planned, self._client.server)

    async def accept_many(self, intents: Iterable[IntentLike]) -> list[Receipt]:
        """Accept intents in few round trips; see `Notifier.accept_many`."""
        self._client.check_open()
        receipts: list[Receipt | Unknown] = []
        source = Source(intents)
        while chunk := source.chunk():
            try:
                await self._client.turn()
                layout = await self._client.layout()
                plans = _plans(chunk, layout.deployment)
                receipts += await self._drive(accept_flow(layout, plans))
            except RedisFault as error:
                raise interrupted(receipts, chunk, source, error) from error
        return source.checked(all_known(receipts, self._client.server, source))

    async def cancel(
        self, notification_id: str, *, route: str | None = None, actor: str = "client"
    ) -> Cancelled:
        """Take back what is not in the stream yet, or one route of it; *actor* is recorded."""
        self._client.check_open()
        target = target_of(notification_id, route)
        if target is None:
            return Cancelled(0, 0, unknown=True)
        return await self._change(target, lambda layout: cancel_flow(layout, target, actor))

    async def reschedule(
        self, notification_id: str, due_at: Due, *, route: str | None = None, actor: str = "client"
    ) -> Rescheduled:
        """Have what is not in the stream yet due at another time; see `Notifier.reschedule`."""
        self._client.check_open()
        due_ms, target = due_moment(due_at), target_of(notification_id, route)
        if target is None:
            return Rescheduled(0, 0, unknown=True)
        now_ms = _now_ms()
        return await self._change(
            target, lambda layout: reschedule_flow(layout, target, due_ms, now_ms, actor)
        )

    @property
    def preferences(self) -> AsyncPreferences:
        """Return what reads and changes the preferences of users."""
        return AsyncPreferences(self._client)

    async def close(self) -> None:
        """Close the connections; every later call raises `AlreadyClosed`."""
        await self._client.close()

    async def _change(self, target: Target, flow: Callable[[Layout], Flow[T]]) -> T:
        await self._client.turn()
        try:
            return await self._drive(flow(await self._client.layout()))
        except RedisFault as error:
            raise failed_call(error, notification_id=target.notification_id) from error

    async def _drive(self, flow: Flow[T]) -> T:
        told = await self._client.run_flow(flow)
        if in_doubt(told):
            await self._client.look_again()
        return told


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _parsed(intent: IntentLike, notification_id: str | None) -> Intent:
    """Read an intent that may be repeated under an id; raise `InvalidIntent`."""
    if notification_id is not None and not is_first_part(notification_id):
        raise InvalidIntent("notification_id", "must be an id that an accept gave")
    return Intent.parse(intent)


def _name(intent: Intent, notification_id: str | None) -> str | None:
    """Name the notification before anything is sent, so that a repeat finds it."""
    return notification_id or (None if intent.idempotency_key else random_id(_now_ms()))


def _repeat_with(intent: Intent, named: str | None) -> str:
    """Return the id under which a repeat finds the notification."""
    return named or id_for_key(intent.producer, intent.idempotency_key or "")


def _plans(intents: Iterable[IntentLike], deployment: Deployment) -> Iterator[Plan | Receipt]:
    now_ms, traceparent = _now_ms(), current_traceparent()
    return (plan_or_refuse(intent, deployment, now_ms, traceparent) for intent in intents)


def _known(receipt: Receipt | Unknown, planned: Plan, server: str) -> Receipt:
    if isinstance(receipt, Unknown):
        text = receipt.told(f"Redis at {server} could not store the notification")
        raise failed_call(receipt.fault, text, planned.notification_id)
    return receipt
