"""One schedule: workers, producers and operators on one server, and what must hold at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Final

import redis

from galaxy_notify.daemon.shard import Shard
from galaxy_notify.encoding import MsgpackEncoder
from galaxy_notify.publishing.state import Policy, PublisherState
from galaxy_notify.redis_client.scripts import Script
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings, settings_from
from galaxy_notify.telemetry import Telemetry
from tests.properties.simulation.support.actors import (
    CHANNELS,
    Client,
    Encoder,
    Journal,
    Operator,
    Producer,
)
from tests.properties.simulation.support.clock import Stuck, virtual
from tests.properties.simulation.support.fates import Fates
from tests.properties.simulation.support.link import Link
from tests.properties.simulation.support.server import VirtualServer
from tests.properties.simulation.support.verdict import Verdict

#: How long the last routes may take once nothing fails any more: leases, retries, outages.
_REST_S: Final = 30.0
_DRAIN_S: Final = 10.0


@dataclass(frozen=True)
class Schedule:
    """What came of one seed: every call with its fate, and what was wrong at the end."""

    seed: int
    calls: int
    trace: list[str]
    fault: str
    published: int


@cache
def _settings() -> Settings:
    worker = {"channels": list(CHANNELS), "batch_size": 4, "lease_ttl_ms": 3_000}
    retry = {"max_attempts": 3, "backoff_min_ms": 200, "backoff_max_ms": 1_000}
    return settings_from({"worker": worker, "retry": retry})


def simulate(
    client: redis.Redis,
    seed: int,
    *,
    until: int | None = None,
    mutants: Mapping[str, Script] | None = None,
) -> Schedule:
    """Run the schedule of a seed; of its faults only those of the first *until* calls."""
    client.flushall()
    with virtual(seed) as loop:
        server = VirtualServer(client, loop, mutants or {})
        simulation = _Simulation(server, seed, until)
        fault = ""
        try:
            asyncio.set_event_loop(loop)
            loop.run_until_complete(simulation.live())
        except AssertionError as error:
            fault = f"{type(error).__name__}: {error}"
        finally:
            simulation.end(loop)
            server.close()
            asyncio.set_event_loop(None)
        published = simulation.verdict.published
        return Schedule(seed, simulation.fates.calls, simulation.trace, fault, published)


class _Simulation:
    def __init__(self, server: VirtualServer, seed: int, until: int | None) -> None:
        self.trace: list[str] = []
        self.fates = Fates(seed, until)
        self.journal = Journal()
        self._server = server
        self._random = Random(f"world {seed}")
        self._encoder = Encoder(Random(f"encoder {seed}"), self.journal)
        self._policy = Policy.from_settings(_settings(), "sim", encoder=self._encoder)
        self._key_space = KeySpace("gn", self._policy.shared)
        self._alive: list[tuple[Shard, Link, asyncio.Task[None]]] = []
        self._links: list[Link] = []
        self._workers = 0
        #: How likely a worker publishes by the script: none of them, some or all do.
        self._by_script = Random(f"roads {seed}").choice((0.0, 0.5, 1.0))
        self.verdict = Verdict(server, self._key_space, self.journal)

    async def live(self) -> None:
        """Let everybody work while calls fail, then bring all to rest, and look."""
        random = self._random
        for _ in range(random.randint(1, 3)):
            self._start()
        busy = [self._producing(number) for number in range(random.randint(1, 2))]
        busy += [self._operating(), self._clock(), self._replacing()]
        await asyncio.gather(*busy)
        self.fates.quiet = True
        await self._come_to_rest()
        await self._drain()
        self.verdict.check()

    def end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel whatever hangs, as a process that was killed does."""
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def _start(self) -> None:
        self._workers += 1
        name = f"host-{self._workers}"
        link = self._link(name)
        link.mortal = True
        chance = Random(f"{name} {self.fates.calls}")
        # Only the plain encoder leaves routes to the script, and it fails for none of them.
        by_script = chance.random() < self._by_script
        encoder = MsgpackEncoder() if by_script else self._encoder
        policy = replace(self._policy, worker_id=name, rng=chance, encoder=encoder)
        publisher = PublisherState(
            settings=_settings(),
            policy=policy,
            telemetry=Telemetry.off(),
            about={"host": name},
        )
        shard = Shard(
            link,  # type: ignore[arg-type]  # it answers what is asked of it
            publisher,
            self._key_space.keys(0),
        )
        self._alive.append((shard, link, asyncio.create_task(shard.run())))

    def _link(self, name: str) -> Link:
        made = Link(self._server, self.fates, name, self.trace)
        self._links.append(made)
        return made

    async def _producing(self, number: int) -> None:
        client = Client(self._link(f"producer-{number}"))
        random = Random(self._random.getrandbits(64))
        producer = Producer(client, self._key_space, random, self.journal)
        await producer.produce(random.randint(3, 9), lambda: self._server.now)

    async def _operating(self) -> None:
        client = Client(self._link("operator"))
        random = Random(self._random.getrandbits(64))
        await Operator(client, self._key_space, random, self.journal).operate(random.randint(0, 3))

    async def _clock(self) -> None:
        random = Random(self._random.getrandbits(64))
        for _ in range(random.choice((0, 0, 1, 2))):
            await asyncio.sleep(random.expovariate(0.5))
            step = random.choice((-5_000, -3_000, -1, 1, 3_000, 5_000))
            self.trace.append(f"clock {step:+}")
            self._server.step(step)

    async def _replacing(self) -> None:
        """Start another worker where one has died."""
        for _ in range(8):
            await asyncio.sleep(1.0)
            self._replace_dead()

    def _replace_dead(self) -> None:
        for entry in list(self._alive):
            if entry[1].dead:
                self._alive.remove(entry)
                self.trace.append(f"{entry[1].name} has died")
                self._start()

    async def _come_to_rest(self) -> None:
        patience = _REST_S + self._server.stepped_back_ms / 1000
        for _ in range(int(patience)):
            # Again and again, because a pause may still be on its way.
            for channel in CHANNELS:
                self._server.client.srem(self._key_space.keys(0).paused, channel)
            await asyncio.sleep(1.0)
            self._replace_dead()
            for _, _, task in self._alive:
                if task.done():
                    task.result()
                    raise Stuck("a worker has ended")
            if not self._server.late and not self.verdict.waiting():
                return
        raise Stuck(f"still scheduled after {patience} s: {self.verdict.waiting()}")

    async def _drain(self) -> None:
        for shard, _, _ in self._alive:
            shard.stop()
        tasks = [task for _, _, task in self._alive]
        _, pending = await asyncio.wait(tasks, timeout=_DRAIN_S)
        assert not pending, "a worker does not end"
        for task in tasks:
            task.result()
