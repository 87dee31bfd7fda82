"""One deployment for a fault test of the gateways: server, gateways, clients, producer, verdict."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any, NamedTuple

import msgpack
import redis
import redis.asyncio

from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace
from tests.faults.support.gateways import FaultyGateway, faulty_gateway_on
from tests.faults.support.live_client import LiveClient
from tests.support.daemons import DaemonProcess
from tests.support.events import event_fields, write_deployment
from tests.support.servers import Server
from tests.support.wait import until

GROUP = "realtime"
#: A server that answers after each write to its file: nothing that was acknowledged is lost.
DURABLE = {"appendonly": "yes", "appendfsync": "always"}
_TRIES_PAUSE_S = 0.05


class Verdict(NamedTuple):
    """What all clients together were sent, and were not."""

    events: int
    lost: int
    doubled: int
    disordered: int
    gaps: int
    resets: Counter[str]
    violations: Sequence[str]

    @property
    def is_clean(self) -> bool:
        """Whether every client had every event once and in order, without a reset."""
        wrong = self.lost + self.doubled + self.disordered + self.gaps
        return not (wrong or self.resets or self.violations)

    def __str__(self) -> str:
        return (
            f"{self.events} events; lost {self.lost}, double {self.doubled},"
            f" out of order {self.disordered}, gaps {self.gaps}, resets {dict(self.resets)}"
        )


class DeliveryRun:
    """A deployment whose gateways are broken, its clients, and what they were sent."""

    def __init__(
        self, server: Server, rng: Random, stack: ExitStack, *, users: int = 20, **shared: Any
    ) -> None:
        """Found it; *shared* are settings of the deployment, which has two shards otherwise."""
        self.server = server
        self.rng = rng
        self.stack = stack
        self.users = [f"u{number}" for number in range(users)]
        self.gateways: list[FaultyGateway] = []
        self.clients: list[LiveClient] = []
        #: What the run came to, for the table of the matrix.
        self.figures: list[str] = []
        #: User -> the numbers of the events that the server took, in the producer's order.
        self.sent: dict[str, list[int]] = {user: [] for user in self.users}
        #: Event -> when it was handed in (monotonic clock).
        self.sent_at: dict[int, float] = {}
        with server.client() as client:
            agreed = write_deployment(client, **{"shards": 2, "channels": ("push",)} | shared)
        self.key_space = KeySpace("gn", agreed)

    def gateway(self, failpoints: str = "", **given: Any) -> FaultyGateway:
        """Start a gateway, perhaps with failpoints, and wait until it serves.

        *consume* and *serve* are settings of their section.
        """
        for half in ("consume", "serve"):
            if half in given:
                given[f"realtime__{half}"] = given.pop(half)
        seeded = f"seed={self.rng.getrandbits(32)},{failpoints}" if failpoints else ""
        made = self.stack.enter_context(faulty_gateway_on(self.server, failpoints=seeded, **given))
        self.gateways.append(made)
        made.wait_for("gateway started")
        return made

    async def connect(
        self, users: Iterable[str] = (), to: Sequence[FaultyGateway] = ()
    ) -> list[LiveClient]:
        """Connect a client of each user to any gateway that serves, and wait for their streams."""
        serving = [one for one in self.gateways if one.settings.get("realtime__serve", True)]
        ports = [gateway.port for gateway in to or serving]
        made = [LiveClient(user, ports, self.rng) for user in users or self.users]
        self.clients += made
        for client in made:
            client.come()
        await self.until_connected(made)
        return made

    async def until_connected(self, clients: Iterable[LiveClient] = ()) -> None:
        """Wait until clients have streams."""
        waited = tuple(clients) or self.clients
        await self._until(lambda: all(one.is_connected for one in waited), "all have a stream")

    @asynccontextmanager
    async def leaving(self) -> AsyncIterator[None]:
        """Let all clients leave at the end of the block; raise what broke one."""
        try:
            yield
        finally:
            await asyncio.gather(*(one.leave() for one in self.clients), return_exceptions=True)

    # --- events ---

    async def publish(
        self,
        numbers: Iterable[int],
        user_of: Callable[[int], str] | None = None,
        text_bytes: int = 0,
    ) -> None:
        """Put events into the streams, each until the server has taken it."""
        to = {number: (user_of or self._user_of)(number) for number in numbers}
        client = redis.asyncio.Redis.from_url(self.server.url, socket_timeout=30)
        try:
            await self._hand_in(client, to, "x" * text_bytes)
        finally:
            await client.aclose()
        for number, user in to.items():
            self.sent[user].append(number)

    async def _hand_in(self, client: redis.asyncio.Redis, to: dict[int, str], text: str) -> None:
        """Hand events in; what got no answer is handed in again, as by a producer that repeats."""
        loop = asyncio.get_running_loop()
        for number in to:
            self.sent_at[number] = loop.time()
        while True:
            pipeline = client.pipeline(transaction=False)
            for number, user in to.items():
                keys = self.key_space.keys_of_user(user)
                pipeline.xadd(keys.stream, _fields(number, user, text))
            with suppress(redis.RedisError):
                await pipeline.execute()
                return
            await asyncio.sleep(_TRIES_PAUSE_S)

    def _user_of(self, number: int) -> str:
        return self.users[number % len(self.users)]

    async def until_all_came(self, clients: Iterable[LiveClient] = ()) -> None:
        """Wait until clients have every event that the server took, or are at the tops."""
        waited = tuple(clients) or self.clients
        await self._until(lambda: all(map(self._has_all, waited)), "every event has come")

    async def until_at_the_tops(self) -> None:
        """Wait until nothing waits for a gateway and every client is at the top of its list."""
        await self._until(self._is_at_rest, "every client is at the top of its list")

    def _has_all(self, client: LiveClient) -> bool:
        return len(client.record.came_at) >= len(self.sent[client.user])

    def _is_at_rest(self) -> bool:
        try:
            with self.server.client() as asked:
                if any(waiting(asked, keys) for keys in self.key_space.all_keys):
                    return False
                return all(str(one.place) == self.top_of(asked, one.user) for one in self.clients)
        except redis.RedisError:
            return False

    def top_of(self, client: redis.Redis, user: str) -> str:
        """Return the cursor of the top of a user's list."""
        found: Any = client.lindex(self.key_space.keys_of_user(user).recent(user), -1)
        return found.partition(b" ")[0].decode() if found else "0.0.0"

    async def _until(self, predicate: Callable[[], bool], what: str) -> None:
        def answer() -> bool:
            for client in self.clients:
                client.raise_defect()
            return predicate()

        try:
            await until(answer, what)
        except AssertionError as error:
            logs = [one.log.read_text(errors="replace")[-3000:] for one in self.gateways]
            raise AssertionError("\n".join([str(error), str(self.verdict()), *logs])) from error

    # --- verdict ---

    def verdict(self) -> Verdict:
        """Compare what every client was sent with what the server took."""
        resets: Counter[str] = Counter()
        lost = 0
        for client in self.clients:
            resets += client.record.resets
            if not client.record.resets:
                lost += len(set(self.sent[client.user]) - client.record.came_at.keys())
        records = [client.record for client in self.clients]
        return Verdict(
            events=sum(map(len, self.sent.values())),
            lost=lost,
            doubled=sum(one.doubles for one in records),
            disordered=sum(one.reversed for one in records),
            gaps=sum(one.gaps for one in records),
            resets=resets,
            violations=[text for one in records for text in one.violations],
        )

    def assert_clean(self) -> Verdict:
        """Assert that every client had every event once and in order, and no reset."""
        verdict = self.verdict()
        self.figures.append(str(verdict))
        assert verdict.is_clean, (str(verdict), verdict.violations[:10])
        return verdict

    def slowest_s(self) -> float:
        """Return how long the slowest event took from its producer to a client."""
        took = [
            at - self.sent_at[number]
            for client in self.clients
            for number, at in client.record.came_at.items()
            if number in self.sent_at
        ]
        return max(took, default=0.0)

    def silences(self) -> str:
        """Return how long clients had no stream, in words."""
        found = sorted(silence for client in self.clients for silence in client.silences)
        if len(found) < 2:
            return f"{len(found)} connects again"
        cuts = quantiles(found, n=100, method="inclusive")
        times = f"p50 {cuts[49]:.2f}, p99 {cuts[98]:.2f}, longest {found[-1]:.2f} s"
        return f"{len(found)} connects again, without a stream for {times}"


def _fields(number: int, user: str, text: str) -> dict[Any, Any]:
    """Return the fields of an event, perhaps with a long body."""
    fields = event_fields(number, user)
    if text:
        payload = msgpack.unpackb(fields["payload_bytes"])
        fields["payload_bytes"] = msgpack.packb(payload | {"body": text})
    return fields


def waiting(client: redis.Redis, keys: Keys) -> int:
    """Return how many events of a shard the gateways have not acknowledged."""
    groups: Any = client.xinfo_groups(keys.stream) if client.exists(keys.stream) else []
    for group in groups:
        if group["name"] == GROUP.encode():
            lag = group.get("lag")
            behind = lag if lag is not None else _unread(client, keys, group)
            return int(group["pending"]) + int(behind)
    return int(client.xlen(keys.stream)) if groups or client.exists(keys.stream) else 0


def _unread(client: redis.Redis, keys: Keys, group: Any) -> int:
    """Count what a group has not read; servers before 7.0 do not."""
    rows: Any = client.xrange(keys.stream, min=b"(" + group["last-delivered-id"], count=1)
    return len(rows)


def is_frozen(process: DaemonProcess) -> bool:
    """Return whether a process has been stopped by a signal."""
    stat = Path(f"/proc/{process.process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def freeze(process: DaemonProcess) -> None:
    """Stop a process as a long pause of the machine would."""
    os.kill(process.process.pid, signal.SIGSTOP)


def thaw(process: DaemonProcess) -> None:
    """Let a frozen process go on."""
    os.kill(process.process.pid, signal.SIGCONT)
