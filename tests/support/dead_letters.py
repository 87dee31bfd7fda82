"""Dead letters for tests, made as they come about, and what all of Redis then holds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgpack
import redis

from galaxy_notify.model.ids import id_for_key, shard_of
from galaxy_notify.model.notification import NewNotification, Notification, RouteGroup
from galaxy_notify.model.route import Failure, Route, decode_route, initial_state
from galaxy_notify.redis_client.connection import sync_client
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import leases
from galaxy_notify.redis_state.accept_calls import intent_accept
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.settlement import Bury, Settlement
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from tests.support.patience import patient
from tests.support.records import encode_notification
from tests.support.servers import Server
from tests.support.wait import HANG_S

ACTOR = "cli:ann@desk"
WORKER = "host-1-abcd"
ROUTES = ("push:u1",)
_LIMITS = leases.ClaimLimits(256, 30_000, 4 << 20, 300_000, 0)


_CONTENT = msgpack.packb({"severity": "info", "data": {"turn": 12}})


class Kind(NamedTuple):
    """What the dead letters of a test have in common."""

    type: str = "game.ready"
    producer: str = "lobby"
    key: str = "key"
    failure: Failure = Failure("payload_encoding_failed", "no such codec")
    content: bytes = _CONTENT


PLAIN = Kind()


class DeadLetterFixture:
    """A deployment on a test server, with the means to let routes die in it."""

    def __init__(
        self, client: redis.Redis, shared: SharedSettings, *, first: int = 0, prefix: str = "gn"
    ) -> None:
        """Prepare; two that work on one server count their notifications from afar."""
        self.client = client
        self.key_space = KeySpace(prefix, shared)
        self.connected = Deployment(client, self.key_space)
        self._number = first

    def bury(
        self, routes: Sequence[str] = ROUTES, *, kind: Kind = PLAIN, number: int = 1
    ) -> list[str]:
        """Accept notifications and let each of their routes die; return the members."""
        ids = [self.accept(routes, kind) for _ in range(number)]
        for channel in {route.partition(":")[0] for route in routes}:
            for shard in {shard_of(made, self.key_space.shared.shards) for made in ids}:
                self.die(channel, shard, kind.failure)
        return [f"{made}/{route}" for made in ids for route in routes]

    def accept(self, routes: Sequence[str] = ROUTES, kind: Kind = PLAIN) -> str:
        """Accept a notification, due now."""
        self._number += 1
        made = id_for_key("test", str(self._number))
        now = time.time_ns() // 1_000_000
        record = encode_notification(
            Notification(
                notification_id=made,
                type=kind.type,
                producer=kind.producer,
                idempotency_key=kind.key,
                created_at_ms=now,
                content=kind.content,
            ),
            b"12345678",
        )
        groups = [RouteGroup(initial_state(None), routes)]
        new = NewNotification(made, record, 1000, groups)
        run_sync(self.client, intent_accept(self.key_space.keys_for(made), [new]))
        return made

    def die(self, channel: str, shard: int, failure: Failure = PLAIN.failure) -> int:
        """Claim all that is due and bury it; return how many that were."""
        dead_lettered = 0
        while claimed := self.claim(channel, shard):
            settlement = Settlement()
            for member in claimed.members:
                state = decode_route(member.state)
                settlement.add(
                    Bury(member.member, state.dead_lettered(WORKER, failure, attempt=True))
                )
            keys = self.key_space.keys(shard)
            run_sync(self.client, settlement.call(keys, channel, claimed.token))
            dead_lettered += len(claimed.members)
        return dead_lettered

    def claim(self, channel: str, shard: int) -> leases.Claim | None:
        """Take what is due under a lease, None where nothing is."""
        self._number += 1
        token = f"{WORKER}:0:30000:{self._number}"
        keys = self.key_space.keys(shard)
        call = leases.route_claim(keys, channel, token, _LIMITS, alone=False, now=None)
        claimed = leases.read_claim(run_sync(self.client, call), token)
        return claimed if claimed.members else None

    def state(self, member: str) -> bytes | None:
        """Return what is stored of a route."""
        made, _, route_id = member.partition("/")
        stored: Any = self.client.hget(self._key(made), route_id)
        return stored if stored is None else bytes(stored)

    def route(self, member: str) -> Route:
        """Return a route."""
        return decode_route(self.state(member) or b"")

    def record(self, member: str) -> tuple[str, str]:
        """Return the key of a member's notification, and the name of its route there."""
        made, _, route_id = member.partition("/")
        return self._key(made), route_id

    def dead(self, channel: str = "push") -> dict[str, int]:
        """Return all dead letters of a channel with when they died."""
        found: dict[str, int] = {}
        for keys in self.key_space.all_keys:
            pairs: Any = self.client.zrange(keys.dead(channel), 0, -1, withscores=True)
            found |= {member.decode(): int(score) for member, score in pairs}
        return found

    def scheduled(self, channel: str = "push") -> set[str]:
        """Return all routes of a channel that are scheduled."""
        found: set[str] = set()
        for keys in self.key_space.all_keys:
            members: Any = self.client.zrange(keys.schedule(channel), 0, -1)
            found |= {member.decode() for member in members}
        return found

    def total(self, field: str) -> int:
        """Return a total over all shards."""
        counts = [self.client.hget(keys.totals, field) for keys in self.key_space.all_keys]
        return sum(int(count or 0) for count in counts)

    def assert_conserved(self, channels: Sequence[str] = ("push",)) -> None:
        """Assert that no route was lost or made: all that were accepted are accounted for."""
        rest = sum(len(self.dead(c)) + len(self.scheduled(c)) for c in channels)
        final = ("published", "cancelled", "expired", "skipped", "purged")
        assert self.total("accepted") == rest + sum(self.total(field) for field in final)

    def _key(self, notification_id: str) -> str:
        return self.key_space.keys_for(notification_id).notification(notification_id)


@contextmanager
def dead_letter_fixture(
    server: Server, *, shards: int = 1, channels: tuple[str, ...] = ("push",)
) -> Iterator[DeadLetterFixture]:
    """Found a deployment on an empty server."""
    client = sync_client(server.url)
    shared = SharedSettings(shards=shards, channels=channels)
    made = DeadLetterFixture(client, shared)
    for keys in made.key_space.all_keys:
        client.hset(keys.meta, mapping=shared.as_meta())  # type: ignore[arg-type]  # invariant
    try:
        yield made
    finally:
        client.close()


@contextmanager
def beside(deployment: DeadLetterFixture, server: Server) -> Iterator[DeadLetterFixture]:
    """Work on the same deployment with a connection of one's own, as another process does."""
    client = sync_client(server.url)
    try:
        yield DeadLetterFixture(client, deployment.key_space.shared, first=1_000_000)
    finally:
        client.close()


def snapshot(client: redis.Redis) -> dict[bytes, object]:
    """Return everything that Redis holds, with what expires at all."""
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"hash": client.hgetall,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"stream": client.xrange,
        b"string": client.get,
    }
    keys: Any = client.keys()
    return {key: (readers[_type(client, key)](key), client.pttl(key) >= 0) for key in keys}


def _type(client: redis.Redis, key: bytes) -> Any:
    return client.type(key)


def command_line(*arguments: str) -> list[str]:
    """Return the command that runs the CLI in a process of its own."""
    return [sys.executable, "-m", "galaxy_notify", *arguments]


def run_cli(
    server: Server, *arguments: str, stdin: str | None = "", shards: int = 1
) -> subprocess.CompletedProcess[str]:
    """Run the CLI to its end."""
    return subprocess.run(
        command_line(*arguments),
        input=stdin,
        env=cli_environment(server, shards),
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def cli_environment(server: Server, shards: int = 1) -> dict[str, str]:
    """Return the environment in which the CLI finds the test server."""
    ours = {
        "GALAXY_NOTIFY_REDIS__URL": f"unix://{server.socket}",
        "GALAXY_NOTIFY_WORKER__SHARDS": str(shards),
        "GALAXY_NOTIFY_WORKER__CHANNELS": "push,email",
    }
    return patient(os.environ | ours)
