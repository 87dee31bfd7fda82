"""A deployment for the tests of those who use this package."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from itertools import count
from math import inf
from typing import Any, Final, Self

from galaxy_notify.edges import EdgeTrigger
from galaxy_notify.encoding import checked_encoder
from galaxy_notify.errors import ConfigurationError, StreamRefused
from galaxy_notify.gateway.event import Event, decode_event
from galaxy_notify.inspector import DeadLetter, Inspector
from galaxy_notify.intake.notifier import AsyncNotifier, Notifier
from galaxy_notify.publishing.claimer import Leased, claim_limits
from galaxy_notify.publishing.publisher import Publisher
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import Policy, PublisherState, ShardState
from galaxy_notify.redis_client.access import Environment
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.joining import join_deployment
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.store import Store
from galaxy_notify.settings import Settings, settings_from
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.testing.server import Clock, InProcess

#: 2026-01-01T00:00:00Z: when a deployment begins by default.
BEGINNING_MS: Final = 1_767_225_600_000


def deployment(
    *, encoder: object = None, now_ms: int = BEGINNING_MS, **sections: Mapping[str, Any]
) -> LocalDeployment:
    """Return a deployment of one's own, to be used in ``with``; each begins empty.

    *sections* are settings as in the configuration file, such as ``worker={"channels": ["push",
    "email"]}`` or ``retry={"max_attempts": 3}``; but for ``retry.jitter``, which is ``none`` here,
    their defaults are the same. *encoder* is what ``gateway.encoder`` may name: an object with
    ``encode(notification, route)``, its class, or a function. The clock stands at *now_ms*.

    Raises `ConfigurationError` for settings that a daemon would refuse.
    """
    return LocalDeployment(encoder, now_ms, sections)


class LocalDeployment:
    """The real notifier, scripts and worker on an imitation of Redis in this process.

    Nothing happens by itself: what is due is published by `publish_due`, and time passes by
    `advance`. Nothing that is stored depends on the machine's clock.
    """

    def __init__(
        self, encoder: object, now_ms: int, sections: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Begin an empty deployment; see `deployment`."""
        if "redis" in sections:
            raise ConfigurationError("redis: this deployment has its own server")
        retry = {"jitter": "none", **sections.get("retry", {})}
        settings = settings_from({**sections, "retry": retry})
        given = None if encoder is None else checked_encoder("encoder", encoder)
        policy = Policy.from_settings(settings, WORKER, given)
        self._clock = Clock(now_ms)
        self._environment = InProcess(self._clock)
        self._settings = settings
        self._key_space = KeySpace(settings.redis.prefix, policy.shared)
        self._client = self._environment.open_sync(settings)
        run_flow_sync(self._client, join_deployment(settings.redis.prefix, policy.shared))
        self._publisher = LocalPublisher(self._environment, settings, policy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def notifier(self) -> Notifier:
        """Accepts, cancels, reschedules, and keeps preferences, in this deployment."""
        return Notifier(self._settings, adopt=True, environment=self._environment)

    @cached_property
    def async_notifier(self) -> AsyncNotifier:
        """The same with await."""
        return AsyncNotifier(self._settings, adopt=True, environment=self._environment)

    @cached_property
    def inspector(self) -> Inspector:
        """Reads this deployment: the list, one notification, the status, dead letters."""
        return Inspector(self._settings, environment=self._environment)

    @cached_property
    def edges(self) -> EdgeTrigger:
        """Says once that a value has crossed its threshold."""
        return EdgeTrigger(self._settings, environment=self._environment)

    @property
    def now_ms(self) -> int:
        """The time of the deployment, in epoch ms."""
        return self._clock.now_ms

    def advance(self, *, ms: int) -> None:
        """Let time pass: what falls due can be published, what is kept for a while expires."""
        if ms < 0:
            raise ValueError("time cannot go backwards")
        self._clock.now_ms += ms

    def publish_due(self) -> int:
        """Do what a daemon does with all that is due now; return how many events it published.

        What failed for a while only is due again later, as `advance` will show; what failed for
        good is a dead letter.
        """
        before = self._length()
        self._publisher.publish_due()
        return self._length() - before

    def events(self, user: str | None = None) -> list[Event]:
        """Return what gateways would get, for all users or one, in the order of publishing."""
        found: list[Event] = []
        for keys in self._key_space.all_keys:
            entries: Any = self._client.xrange(keys.stream)
            for stream_id, fields in entries:
                entry = Entry(stream_id.decode(), fields, 1)
                found.append(decode_event(entry, keys.stream, keys.shard))
        in_order = sorted(found, key=lambda event: _number(event.stream_id))
        return [event for event in in_order if user in (None, event.user_id)]

    def dead_letters(self) -> list[DeadLetter]:
        """Return all dead letters, the oldest first."""
        page = self.inspector.dead_letters()
        found = [*page.items]
        while page.cursor is not None:
            page = self.inspector.dead_letters(cursor=page.cursor)
            found += page.items
        return found

    def close(self) -> None:
        """End the deployment; what it holds is gone."""
        for part in ("notifier", "inspector", "edges"):
            if part in self.__dict__:
                getattr(self, part).close()
        self._client.close()

    def _length(self) -> int:
        return sum(self._client.xlen(keys.stream) for keys in self._key_space.all_keys)


def _number(stream_id: str) -> tuple[int, int]:
    ms, _, sequence = stream_id.partition("-")
    return int(ms), int(sequence)


#: The name of the only worker, as history and failures show it.
WORKER: Final = "testing"


class LocalPublisher:
    """The work of a daemon, done when a test asks for it and until nothing is due.

    Claim, encode and settle are the daemon's own. Left out is what time and other processes ask
    for: rests, wake-ups, heartbeats, taking turns, the janitor.
    """

    def __init__(self, environment: Environment, settings: Settings, policy: Policy) -> None:
        """Prepare; nothing runs before `publish_due`."""
        self._client = environment.open_async(settings)
        self._state = PublisherState(settings, policy, Telemetry.off(), about={})
        self._tokens = count(1)

    def publish_due(self) -> None:
        """Bring every route that is due now to an outcome, also from within a running loop."""
        _run(self._all())

    async def _all(self) -> None:
        settings, shared = self._state.settings, self._state.policy.shared
        for keys in KeySpace(settings.redis.prefix, shared).all_keys:
            await self._publish_shard(keys)
        await self._client.aclose()

    async def _publish_shard(self, keys: Keys) -> None:
        state, shared = self._state, self._state.policy.shared
        store = Store(self._client, keys, state.telemetry.script_ran)
        reporter = Reporter(state.telemetry, keys, WORKER, shared.max_attempts)
        publisher = Publisher(store, ShardState(state, keys), reporter)
        # Nothing trims the stream, so it may grow beyond its length.
        limits = replace(claim_limits(state.settings), hold_at=0)
        for channel in shared.channels:
            while (claim := await store.claim(channel, self._token(), limits)).members:
                # An encoder may take any time, as with a debugger in it: no lease expires.
                outcome = await publisher.settle(Leased(channel, claim, since=inf))
                if outcome.refused:
                    raise StreamRefused(outcome.refused)

    def _token(self) -> str:
        ttl_ms = self._state.settings.worker.lease_ttl_ms
        return f"{WORKER}:0:{ttl_ms}:{next(self._tokens):016x}"


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end; where a loop runs already, in a thread that ends with it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
