"""Who works on the server: producers, operators, and whoever sets clocks."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from galaxy_notify.errors import CallFailed, InvalidIntent, TransientEncodingError
from galaxy_notify.intake.accept import accept_flow
from galaxy_notify.intake.change import cancel_flow, reschedule_flow
from galaxy_notify.intake.plan import plan
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.model.ids import Target
from galaxy_notify.model.intent import Intent
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, decode_route
from galaxy_notify.redis_client.faults import REDIS_ERRORS, RedisFault, fault_of
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_client.runner import run
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state import calls, dead_rows
from galaxy_notify.redis_state.shared_settings import KeySpace
from tests.properties.simulation.support.link import Link

CHANNELS = ("email", "push")
_PAUSES_S = (0.02, 0.1, 0.4)


@dataclass
class Journal:
    """What people were told, and what the encoder did."""

    accepted: set[str] = field(default_factory=set)
    raised: Counter[tuple[str, int]] = field(default_factory=Counter)
    replays: Counter[str] = field(default_factory=Counter)


class Encoder:
    """Encodes; for recipients that say so it fails now and then, or always."""

    def __init__(self, random: Random, journal: Journal) -> None:
        self._random = random
        self._journal = journal

    def encode(self, notification: Notification, route: Route, /) -> bytes:
        """Return the usual payload, or raise as the notification asks for."""
        mood = notification.producer
        raised = self._journal.raised
        if mood == "flaky" and self._random.random() < 0.5:
            raised[notification.notification_id, route.generation] += 1
            raise TransientEncodingError("not now")
        if mood == "broken" and route.generation == 1:
            raised[notification.notification_id, route.generation] += 1
            raise ValueError("never")
        return notification.packed


class Client:
    """Runs flows as the product's clients do: a few tries, then the fault."""

    def __init__(self, link: Link) -> None:
        self.link: Any = link

    async def drive(self, flow: Flow[Any]) -> Any:
        """Return what a flow comes to."""
        try:
            asked = next(flow)
            while True:
                asked = flow.send([await self._try(call) for call in asked])
        except StopIteration as stop:
            return stop.value

    async def _try(self, call: Any) -> Any:
        for pause in _PAUSES_S:
            try:
                return await self.once(call)
            except RedisFault as error:
                if error.fault.code == "timeout":
                    return error
            await asyncio.sleep(pause)
        try:
            return await self.once(call)
        except RedisFault as error:
            return error

    async def once(self, call: Any) -> Any:
        """Run one script, or read."""
        if isinstance(call, ScriptCall):
            return await run(self.link, call)
        try:
            return await self.link.execute_command(*call.command)
        except REDIS_ERRORS as error:
            raise fault_of(error) from error


class Producer:
    """Hands intents in, repeats what it heard nothing of, takes some back and moves others."""

    def __init__(
        self, client: Client, key_space: KeySpace, random: Random, journal: Journal
    ) -> None:
        self._client = client
        self._key_space = key_space
        self._random = random
        self._journal = journal

    async def produce(self, count: int, now: Any) -> None:
        """Hand so many in, one after the other."""
        for number in range(count):
            await asyncio.sleep(self._random.expovariate(3.0))
            name = f"{self._random.getrandbits(128):032x}"
            planned = plan(self._intent(now(), number), self._key_space.shared, now(), "", name)
            for _ in range(self._random.choice((1, 3))):
                flow = accept_flow(self._key_space, [planned], preferences_exist=False)
                (receipt,) = (await self._client.drive(flow)).receipts
                if isinstance(receipt, Receipt):
                    self._journal.accepted.add(planned.notification_id)
                    break
                planned = planned._replace(may_repeat=True)
            if self._random.random() < 0.4:
                await self._change(Target(planned.notification_id, None), now)

    async def _change(self, target: Target, now: Any) -> None:
        """Take it back, or have it due at another time."""
        await asyncio.sleep(self._random.expovariate(1.0))
        flow: Flow[Any] = cancel_flow(self._key_space, target, "sim")
        if self._random.random() < 0.5:
            due = now() + self._random.randint(-1_000, 3_000)
            flow = reschedule_flow(self._key_space, target, due, now(), "sim")
        try:
            await self._client.drive(flow)
        except (CallFailed, RedisFault, InvalidIntent):
            return

    def _intent(self, now: int, number: int) -> Intent:
        random = self._random
        due = now + random.randint(100, 4_000) if random.random() < 0.3 else None
        expires = (due or now) + random.randint(200, 6_000) if random.random() < 0.2 else None
        return Intent(
            type="game.ready",
            producer=random.choice(("fine", "fine", "flaky", "broken")),
            recipients=[f"u{n}" for n in range(random.choice((1, 1, 2, 5)))],
            channels=random.choice((["push"], ["push"], list(CHANNELS))),
            due_at=due,
            expires_at=expires,
            idempotency_key=f"key-{random.randint(1, 5)}" if random.random() < 0.2 else None,
            data={"turn": number},
        )


class Operator:
    """Replays and purges what is dead, and pauses channels for a while."""

    def __init__(
        self, client: Client, key_space: KeySpace, random: Random, journal: Journal
    ) -> None:
        self._client = client
        self._keys = key_space.keys(0)
        self._random = random
        self._journal = journal

    async def operate(self, times: int) -> None:
        """Do so many things."""
        for _ in range(times):
            await asyncio.sleep(self._random.expovariate(0.7))
            try:
                await self._random.choice((self._move, self._move, self._pause))()
            except RedisFault:
                continue

    async def _move(self) -> None:
        channel, link = self._random.choice(CHANNELS), self._client.link
        found = await self._read("ZRANGE", self._keys.dead(channel), 0, 4)
        for raw in found:
            name, _, route = raw.decode().partition("/")
            before = await self._read("HGET", self._keys.notification(name), route)
            if before is None:
                continue
            if self._random.random() < 0.8:
                self._journal.replays[raw.decode()] += 1
                after = decode_route(before).replayed("sim")
                call = dead_rows.route_replay(
                    self._keys, [dead_rows.DeadChange(name, route, before, after)]
                )
            else:
                after = decode_route(before).purged("sim")
                change = dead_rows.DeadChange(name, route, before, after)
                call = dead_rows.route_purge(self._keys, [change], 3_600_000)
            for _ in range(2):  # who heard nothing does it again
                await run(link, call)

    async def _pause(self) -> None:
        channel = self._random.choice(CHANNELS)
        await run(self._client.link, calls.channel_pause(self._keys, channel))
        await asyncio.sleep(self._random.expovariate(1.0))
        await run(self._client.link, calls.channel_resume(self._keys, channel))

    async def _read(self, *command: Any) -> Any:
        return await self._client.once(Command(list(command)))
