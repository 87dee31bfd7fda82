"""Workers in the test's own process: stepped by the test, or running beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from galaxy_notify.daemon.shard import Shard
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from galaxy_notify.publishing.state import Policy, PublisherState
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings, settings_from
from galaxy_notify.telemetry import Telemetry
from tests.support.wait import HANG_S

Encode = Callable[[Notification, Route], bytes]
_STOP_SECONDS = HANG_S


def packed(notification: Notification, _: Route) -> bytes:
    """Encode as the default encoder does."""
    return notification.packed


class _Encoder:
    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def encode(self, notification: Notification, route: Route, /) -> bytes:
        return self._encode(notification, route)


def publisher_state(settings: Settings | None = None) -> PublisherState:
    """Return what the shards of a process share, where nothing of it calls Redis."""
    settings = settings or settings_from({})
    policy = Policy.from_settings(settings, "host-1-abcd")
    return PublisherState(settings, policy, Telemetry.off(), about={})


class WorkerHarness:
    """What a daemon consists of, without its process: all shards of a deployment."""

    def __init__(
        self,
        settings: Settings,
        encode: Encode | None = None,
        *,
        name: str = "host-2-abcd",
        telemetry: Telemetry | None = None,
    ) -> None:
        """Prepare; *encode* stands in for the encoder, and is where a test may interfere."""
        encoder = None if encode is None else _Encoder(encode)
        policy = Policy.from_settings(settings, name, encoder)
        self._runner = asyncio.Runner()
        worker = settings.worker
        connections = worker.shards * (worker.slots + 2) + 2
        self.client = open_async(settings, connections=connections, name=name)
        publisher = PublisherState(
            settings=settings,
            policy=policy,
            telemetry=telemetry or Telemetry.off(),
            about={"host": "host", "pid": "2", "version": "0", "started_ms": "1"},
        )
        key_space = KeySpace(settings.redis.prefix, policy.shared)
        self.shards = [Shard(self.client, publisher, keys) for keys in key_space.all_keys]

    def step(self, shard: int = 0, slot: int = 0) -> int:
        """Run one pass: claim, encode, settle; return how many routes moved on."""
        done: int = self.run(self.shards[shard].worker.run_once(slot)).moved
        return done

    def tidy(self, shard: int = 0) -> bool:
        """Run one pass of the janitor; return whether this worker was the shard's janitor."""
        is_janitor: bool = self.run(self.shards[shard].janitor.run_once()).is_janitor
        return is_janitor

    def check_state(self, shard: int = 0) -> None:
        """Let the janitor check all state, one round."""
        check = self.shards[shard].janitor.state_check
        self.run(check.page())
        while check.is_in_round:
            self.run(check.page())

    def trim_list(self, shard: int = 0) -> None:
        """Let the janitor go through the list, one round."""
        trimmer = self.shards[shard].janitor.list_trimmer
        trimmer._looked_at = 0.0
        while self.run(trimmer.trim()):
            pass

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine on the worker's loop."""
        return self._runner.run(coroutine)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let all shards work in a thread while the block runs, then drain."""
        broken: list[BaseException] = []
        loop = self._runner.get_loop()

        def work() -> None:
            try:
                self._runner.run(self._work())
            except BaseException as error:
                broken.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(self.stop)
            thread.join(_STOP_SECONDS)
        assert not thread.is_alive(), "the worker did not drain"
        if broken:
            raise broken[0]

    def stop(self) -> None:
        """Begin the drain; to be called on the worker's loop."""
        for shard in self.shards:
            shard.stop()

    def close(self) -> None:
        """Close the connections and the loop."""
        self._runner.run(self.client.aclose())
        self._runner.close()

    async def _work(self) -> None:
        await asyncio.gather(*(shard.run() for shard in self.shards))
