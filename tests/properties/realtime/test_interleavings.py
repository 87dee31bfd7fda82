"""Two gateways deliver copies of the same events, and clients come and go, in any order.

The scripts, presence, hub and arrivals are those of the product, on a real server. Only the network
between them is a list: whatever is told arrives in any order, twice, or never.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galaxy_notify.model.cursor import BEGINNING, Cursor, parse_cursor
from galaxy_notify.model.live_event import LiveEvent, unpack_live_event
from galaxy_notify.realtime.arrivals import Arrival, Arrivals
from galaxy_notify.realtime.attendance import Attendance
from galaxy_notify.realtime.hub import Hub
from galaxy_notify.realtime.message import notification
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run
from galaxy_notify.redis_state.inbox import Telling
from galaxy_notify.redis_state.recent import NewEvent, RecentLimits, read_delivered, user_deliver
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.telemetry import Telemetry
from tests.support.servers import Server

USER = "u1"
HISTORY = 6
LIMITS = RecentLimits(HISTORY, 600_000)
KEY_SPACE = KeySpace("gn", SharedSettings(channels=("push",)))
KEYS = KEY_SPACE.keys(0)
LIST = KEYS.recent(USER)


def _event(number: int) -> NewEvent:
    name = f"{number:032x}"
    event = LiveEvent(f"{name}/push:{USER}", "t", "info", "", "", {"n": number}, 1)
    return NewEvent(USER, name, event.packed)


@dataclass
class Client:
    """A stream, and what its client has read of it."""

    stream: Stream
    at: Cursor = BEGINNING
    numbers: list[int] = field(default_factory=list)

    def read(self, forgotten: set[int]) -> None:
        """Read all there is; assert that it is a run without a hole or a repeat, or a reset.

        An event that the list had *forgotten* may come again.
        """
        for message in iter(self.stream.take, None):
            if message.kind == "reset":
                self.at = parse_cursor(json.loads(message.data)["cursor"]) or BEGINNING
                self.numbers.clear()
                continue
            assert message.cursor is not None
            if message.kind == "notification":
                assert message.cursor.epoch == self.at.epoch or self.at == BEGINNING
                assert message.cursor.offset == self.at.offset + 1
                number = json.loads(message.data)["data"]["n"]
                assert number not in self.numbers or number in forgotten
                self.numbers.append(number)
            self.at = message.cursor


class World:
    """One user, one instance, and two members of the group that deliver the same events."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client: Any = client
        self.hub = Hub(0.0, lambda: None)
        attendance = Attendance(client, KEY_SPACE, "gw-1", 60_000, HISTORY)
        self.attendance = attendance
        self.arrivals = Arrivals(attendance, self.hub, Telemetry.off())
        self.clients: list[Client] = []
        self.told: list[Telling] = []
        #: What each member still has to deliver; a failover takes back what neither had repeated.
        self.members: list[list[int]] = [[], []]
        self.cursors: list[Cursor] = []
        #: How often the list took each event as a new one.
        self.taken: Counter[int] = Counter()
        self.events = 0
        self.calls = 0
        self.saved: bytes | None = None

    def read_all(self) -> None:
        """Have all clients read what there is."""
        forgotten = {number for number, times in self.taken.items() if times > 1}
        for one in self.clients:
            one.read(forgotten)

    async def publish(self) -> None:
        self.events += 3
        batch = [self.events - 2, self.events - 1, self.events]
        self.members[0] += batch
        self.members[1] += batch[::-1]

    async def deliver_first(self) -> None:
        await self._deliver(0)

    async def deliver_second(self) -> None:
        await self._deliver(1)

    async def _deliver(self, member: int) -> None:
        """Deliver two events in one call."""
        numbers, self.members[member] = self.members[member][:2], self.members[member][2:]
        events = [_event(number) for number in numbers]
        self.calls += 1
        call = user_deliver(KEYS, LIMITS, f"e{self.calls}x", events)
        found = read_delivered(await run(self.client, call), events)
        for number, event, one in zip(numbers, events, found, strict=True):
            assert one.cursor is not None
            self.taken[number] += one.is_new
            self.cursors.append(one.cursor)
            if one.instances:
                self.told.append(Telling(USER, one.cursor, event.packed, 1, one.before))

    async def tell_newest(self) -> None:
        await self.tell(len(self.told) - 1)

    async def tell_all(self) -> None:
        for number in range(len(self.told)):
            await self.tell(number)

    async def tell(self, at: int) -> None:
        """Have a telling arrive, once more perhaps."""
        if self.told:
            user, cursor, packed, at_ms, before = self.told[at % len(self.told)]
            self.hub.receive(user, notification(unpack_live_event(packed), cursor, at_ms, before))

    async def connect(self) -> None:
        self._connect(None)

    async def resume(self) -> None:
        """Connect with a cursor that the list once had; a client has read all before it."""
        if self.cursors:
            self._connect(self.cursors[len(self.told) % len(self.cursors)])

    def _connect(self, cursor: Cursor | None) -> None:
        stream = Stream(USER, BufferLimits(10_000, 1 << 24))
        self.clients.append(Client(stream))
        self.arrivals.add(Arrival(stream, cursor))

    async def disconnect(self) -> None:
        if self.clients:
            self.arrivals.remove(self.clients.pop(0).stream)

    async def settle_arrivals(self) -> None:
        assert await self.arrivals.settle()

    async def trim(self) -> None:
        # A foreign key has nothing to trim.
        if await self.client.type(LIST) == b"list":
            await self.client.ltrim(LIST, -2, -1)

    async def lose(self) -> None:
        await self.client.delete(LIST)

    async def replace(self) -> None:
        await self.client.set(LIST, "foreign")

    async def replicate(self) -> None:
        """A replica has what there is now."""
        self.saved = await self.client.dump(LIST)

    async def fail_over(self) -> None:
        """The replica becomes the primary: what it lacks has never been."""
        if self.saved is not None:
            await self.client.restore(LIST, 600_000, self.saved, replace=True)

    async def read(self) -> None:
        """Read what the hub finds missing, once."""
        places = self.hub.due()
        for place, read in zip(places, await self.attendance.read(places), strict=True):
            assert not isinstance(read, RedisFault)
            self.hub.catch_up(place, read.word, read.top, read.messages)

    async def sweep(self) -> Cursor:
        """Renew the presence and read all that is behind, as an instance does every ten seconds."""
        await self.settle_arrivals()
        top = (await self.attendance.attend([USER]))[USER].top
        self.hub.compare(USER, top)
        for _ in range(100):
            if self.hub.due_in_s() is None:
                return top
            await self.read()
        raise AssertionError("the hub never comes to rest")


_STEPS = st.lists(
    st.one_of(
        st.sampled_from(["publish", "deliver_first", "deliver_second", "deliver_first"]),
        st.sampled_from(["connect", "resume", "disconnect", "settle_arrivals", "read", "sweep"]),
        st.sampled_from(["tell_newest", "tell_all", "trim", "lose", "replace"]),
        st.sampled_from(["replicate", "fail_over"]),
        st.integers(0, 30),
    ),
    min_size=10,
    max_size=60,
)


async def _play(url: str, steps: Sequence[str | int]) -> None:
    async with redis.asyncio.Redis.from_url(url) as client:
        await client.flushall()
        world = World(client)
        await world.connect()
        for step in [*steps, "publish", "deliver_first", "deliver_first", "deliver_second"]:
            if isinstance(step, int):
                await world.tell(step)
            else:
                named: Callable[[], Awaitable[object]] = getattr(world, step)
                await named()
            world.read_all()
        while any(world.members):
            await world.deliver_first()
            await world.deliver_second()
        top = await world.sweep()
        entries = [unpack_live_event(one.partition(b" ")[2]) for one in await _kept(world)]
        kept = [one.data["n"] for one in entries if isinstance(one, LiveEvent)]
        world.read_all()
        for one in world.clients:
            assert one.at == top
            # Behind its last reset, or its beginning, a client has a run that ends at the top.
            assert one.numbers[-len(kept) :] == kept[-len(one.numbers) :] or not one.numbers


async def _kept(world: World) -> list[bytes]:
    entries: list[bytes] = (await world.client.lrange(LIST, 0, -1))[1::2]
    return entries


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=_STEPS)
def test_clients__have_a_run_without_a_hole_or_a_reset(
    server: Server, steps: list[str | int]
) -> None:
    """Whatever is trimmed, lost or rolled back: in order, once, up to the top, or a reset."""
    asyncio.run(_play(server.url, steps))
