"""The API of producers: accept intents, cancel and reschedule notifications."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from galaxy_notify.intake.accept import accept_flow
from galaxy_notify.intake.change import cancel_flow, reschedule_flow
from galaxy_notify.intake.plan import IntentLike, Plan, plans_of, request_of
from galaxy_notify.intake.planner import Planner, is_heavy
from galaxy_notify.intake.receipts import Cancelled, Receipt, Rescheduled
from galaxy_notify.intake.rules.preferences import AsyncPreferences, Preferences
from galaxy_notify.intake.shared_calls import SharedCalls, accept_plans
from galaxy_notify.intake.source import IntentSource
from galaxy_notify.intake.unknown import Unknown, all_known, failure_of, interruption
from galaxy_notify.model.ids import Target, target_of
from galaxy_notify.model.intent import due_moment
from galaxy_notify.model.not_copied import NotCopied
from galaxy_notify.redis_client.access import REAL, Environment, settings_at
from galaxy_notify.redis_client.failed_calls import failed_call
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_state.async_client import AsyncClient
from galaxy_notify.redis_state.client import SyncClient
from galaxy_notify.redis_state.shared_settings import KeySpace

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

T = TypeVar("T")
Due = datetime | str | int
Producers = Collection[str] | None


class Notifier(NotCopied):
    """Accepts intents; safe to share between threads.

    Every call ends within seconds. It raises `Unavailable` if Redis is away, its subclass
    `ServerRefused` if Redis refuses writes at the moment, `Misconfigured` if an operator has to
    change something first, `ConfigurationError` if the deployment does not match the settings, and
    `AlreadyClosed` after `close`.
    """

    def __init__(
        self, settings: Settings, *, adopt: bool = False, environment: Environment = REAL
    ) -> None:
        """Prepare to connect by *settings*; *adopt* uses the deployment's shared settings."""
        self._client = SyncClient(settings, adopt=adopt, environment=environment)

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
        """Accept one intent; return its receipt, which has an error if the intent is refused.

        After `Unavailable`, repeat the call with the ``notification_id`` of the error: the intent
        is accepted once, even if both calls arrive.
        """
        self._client.check_open()
        request = request_of(intent, notification_id, self._client.now_ms())
        if isinstance(request, Receipt):
            return request
        try:
            (receipt,) = self._accept([request.plan(self._client.key_space().shared)])
        except RedisFault as error:
            raise failed_call(error, notification_id=request.repeat_id) from error
        if isinstance(receipt, Unknown):
            raise failure_of(receipt, request.repeat_id, self._client.server)
        return receipt

    def accept_many(self, intents: Iterable[IntentLike]) -> list[Receipt]:
        """Accept intents in few round trips; return their receipts, in order.

        A refused intent does not affect the others. `Unavailable` carries the receipts so far,
        with None for each unknown outcome. If *intents* raises, `SourceFailed` carries the
        receipts of the intents before that.
        """
        self._client.check_open()
        receipts: list[Receipt | Unknown] = []
        source = IntentSource(intents)
        while chunk := source.chunk():
            try:
                agreed, at_ms = self._client.key_space().shared, self._client.now_ms()
                receipts += self._accept(plans_of(chunk, agreed, at_ms))
            except RedisFault as error:
                raise interruption(receipts, chunk, source, error) from error
        return source.require_complete(all_known(receipts, self._client.server, source))

    def cancel(
        self,
        notification_id: str,
        *,
        route: str | None = None,
        actor: str = "client",
        producers: Producers = None,
    ) -> Cancelled:
        """Cancel the routes of a notification that are not in the stream yet, or one *route* of it.

        *actor* is recorded. With *producers*, notifications of other producers are unknown.
        """
        self._client.check_open()
        target = target_of(notification_id, route, producers)
        if target is None:
            return Cancelled(0, 0, unknown=True)
        return self._change(target, lambda key_space: cancel_flow(key_space, target, actor))

    def reschedule(
        self,
        notification_id: str,
        due_at: Due,
        *,
        route: str | None = None,
        actor: str = "client",
        producers: Producers = None,
    ) -> Rescheduled:
        """Change the due time of the routes that are not in the stream yet, or of one *route*.

        *due_at* has the form of that field in an intent. Raises `InvalidIntent` if it is invalid.
        """
        self._client.check_open()
        due_ms, target = due_moment(due_at), target_of(notification_id, route, producers)
        if target is None:
            return Rescheduled(0, 0, unknown=True)
        at_ms = self._client.now_ms()
        return self._change(
            target, lambda key_space: reschedule_flow(key_space, target, due_ms, at_ms, actor)
        )

    @property
    def preferences(self) -> Preferences:
        """The preferences of users, to read and change."""
        return Preferences(self._client)

    def close(self) -> None:
        """Close the connections; every later call raises `AlreadyClosed`."""
        self._client.close()

    def _accept(self, planned: Iterable[Plan | Receipt]) -> list[Receipt | Unknown]:
        # Reading the intents may have run calls of another notifier. From here on all calls are of
        # this one, and none goes to a server that has lost its deployment.
        key_space, known = self._client.key_space(), self._client.preferences_exist
        done = self._client.run_flow(accept_flow(key_space, planned, preferences_exist=known))
        self._client.preferences_exist |= done.preferences_exist
        if done.needs_refresh:
            self._client.refresh_primary()
        return done.receipts

    def _change(self, target: Target, flow: Callable[[KeySpace], Flow[T]]) -> T:
        try:
            return self._client.run_flow(flow(self._client.key_space()))
        except RedisFault as error:
            raise failed_call(error, notification_id=target.notification_id) from error


class AsyncNotifier(NotCopied):
    """`Notifier` for asyncio: the same promises, with await."""

    def __init__(
        self,
        settings: Settings,
        *,
        adopt: bool = False,
        once: bool = False,
        environment: Environment = REAL,
    ) -> None:
        """Prepare to connect by *settings*; *adopt* uses the deployment's shared settings.

        *once* retries no short faults: the caller does.
        """
        self._client = AsyncClient(settings, adopt=adopt, once=once, environment=environment)
        self._planner = Planner()
        self._calls = SharedCalls(self._client, by_shard=settings.redis.cluster)

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "gn", **redis: Any) -> Self:
        """Return a notifier that reads shards, channels and limits from the deployment."""
        return cls(settings_at(url, prefix, redis), adopt=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def accept(self, intent: IntentLike, *, notification_id: str | None = None) -> Receipt:
        """Accept one intent; return its receipt; see `Notifier.accept`.

        Tasks that accept at the same time share calls to Redis; each has its own receipt or error.
        """
        self._client.check_open()
        await self._client.turn()
        heavy = is_heavy([intent])
        checked = partial(request_of, intent, notification_id, self._client.now_ms())
        request = await self._planner.run(checked) if heavy else checked()
        if isinstance(request, Receipt):
            return request
        # What a mapping holds is known only now.
        heavy = heavy or (request.intent is not intent and is_heavy([request.intent]))
        try:
            key_space = await self._client.key_space()
            plan = partial(request.plan, key_space.shared)
            planned = await self._planner.run(plan) if heavy else plan()
            if isinstance(planned, Receipt):
                return planned
            receipt = await self._calls.accept(planned, key_space)
        except RedisFault as error:
            raise failed_call(error, notification_id=request.repeat_id) from error
        if isinstance(receipt, Unknown):
            raise failure_of(receipt, request.repeat_id, self._client.server)
        return receipt

    async def accept_many(self, intents: Iterable[IntentLike]) -> list[Receipt]:
        """Accept intents in few round trips; see `Notifier.accept_many`."""
        self._client.check_open()
        receipts: list[Receipt | Unknown] = []
        source = IntentSource(intents)
        while chunk := source.chunk():
            try:
                await self._client.turn()
                agreed, at_ms = (await self._client.key_space()).shared, self._client.now_ms()
                plans = await self._planner.plans_of(chunk, agreed, at_ms)
                receipts += await accept_plans(self._client, plans)
            except RedisFault as error:
                raise interruption(receipts, chunk, source, error) from error
        return source.require_complete(all_known(receipts, self._client.server, source))

    async def cancel(
        self,
        notification_id: str,
        *,
        route: str | None = None,
        actor: str = "client",
        producers: Producers = None,
    ) -> Cancelled:
        """Cancel the routes that are not in the stream yet; see `Notifier.cancel`."""
        self._client.check_open()
        target = target_of(notification_id, route, producers)
        if target is None:
            return Cancelled(0, 0, unknown=True)
        return await self._change(target, lambda key_space: cancel_flow(key_space, target, actor))

    async def reschedule(
        self,
        notification_id: str,
        due_at: Due,
        *,
        route: str | None = None,
        actor: str = "client",
        producers: Producers = None,
    ) -> Rescheduled:
        """Change the due time of routes not in the stream yet; see `Notifier.reschedule`."""
        self._client.check_open()
        due_ms, target = due_moment(due_at), target_of(notification_id, route, producers)
        if target is None:
            return Rescheduled(0, 0, unknown=True)
        at_ms = self._client.now_ms()
        return await self._change(
            target, lambda key_space: reschedule_flow(key_space, target, due_ms, at_ms, actor)
        )

    @property
    def preferences(self) -> AsyncPreferences:
        """The preferences of users, to read and change."""
        return AsyncPreferences(self._client)

    async def close(self) -> None:
        """Close the connections; every later call raises `AlreadyClosed`.

        Before that, it waits for the calls that tasks share, whose callers may have gone.
        """
        self._client.refuse_calls()
        try:
            await self._calls.end()
        finally:
            await self._client.close()

    async def _change(self, target: Target, flow: Callable[[KeySpace], Flow[T]]) -> T:
        await self._client.turn()
        try:
            return await self._client.run_flow(flow(await self._client.key_space()))
        except RedisFault as error:
            raise failed_call(error, notification_id=target.notification_id) from error
