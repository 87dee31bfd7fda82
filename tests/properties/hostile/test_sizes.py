"""Things of any size in Redis: a daemon reads none of them, and is late for nobody else."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import redis

from galaxy_notify.model.route import Failure, Status, decode_route
from tests.properties.hostile.planting import DUE_MS, ID, KEYS, MEMBER, ROUTE, STATE, plant, record
from tests.support.daemons import DaemonProcess, daemon_on
from tests.support.memory import Memory
from tests.support.program import accept
from tests.support.servers import Server
from tests.support.wait import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]
HUGE = 100_000_000
MANY = 1_000_000
ROOM_MB = 20.0


def _record(client: redis.Redis) -> None:
    plant(client, record=record(content=b"x" * HUGE))


def _state(client: redis.Redis) -> None:
    plant(client, state=STATE + b"x" * HUGE)


def _fields(client: redis.Redis) -> None:
    key = plant(client)
    for start in range(0, MANY, 10_000):
        client.hset(key, mapping={f"push:u{n}": "x" for n in range(start, start + 10_000)})


def _entry(client: redis.Redis) -> None:
    client.xadd(KEYS.stream, {"payload_bytes": b"x" * HUGE})
    client.xgroup_create(KEYS.stream, "gateway", id="$")


def _dead(client: redis.Redis) -> None:
    failure = Failure("payload_too_large", "far")
    state = decode_route(STATE).dead_lettered("w", failure, attempt=False)
    key = plant(client, record=record(content=b"x" * HUGE), state=state)
    client.hset(key, ROUTE, state[:2] + b"%013d%013d" % (DUE_MS, DUE_MS) + state[28:])
    client.zrem(KEYS.schedule("push"), MEMBER)
    client.zadd(KEYS.dead("push"), {MEMBER: DUE_MS})


def _totals(client: redis.Redis) -> None:
    for start in range(0, MANY, 10_000):
        client.hset(KEYS.totals, mapping={f"t{n}": "1" for n in range(start, start + 10_000)})
    client.config_resetstat()


def _gauged(client: redis.Redis) -> bool:
    """Tell whether the daemon has looked at its shards since the totals were planted."""
    return "cmdstat_zrange" in client.info("commandstats")


def _is(status: Status, why: str = "") -> Callable[[redis.Redis], bool]:
    def ended(client: redis.Redis) -> bool:
        raw = client.hget(KEYS.notification(ID), ROUTE)
        if not isinstance(raw, bytes) or len(raw) > HUGE:
            return False
        route = decode_route(raw)
        told = route.failure.failure_class if route.failure else ""
        return (route.status, told) == (status, why)

    return ended


#: What is planted, and how it ends; None where nothing is to become of it.
SIZES: dict[str, tuple[Callable[[redis.Redis], None], Callable[[redis.Redis], bool] | None]] = {
    "a record": (_record, _is(Status.DEAD_LETTER, "payload_too_large")),
    "a state": (_state, _is(Status.DEAD_LETTER, "record_corrupt")),
    "a dead letter's record": (_dead, _is(Status.PURGED)),
    "a notification's fields": (_fields, _is(Status.PUBLISHED)),
    "the totals' fields": (_totals, _gauged),
    "an entry of the stream": (_entry, None),
}


@pytest.mark.parametrize("name", SIZES)
def test_size__costs_the_daemon_no_memory(name: str, any_server: Server) -> None:
    """100 MB, or a million fields: the daemon stays small, and the neighbour is published."""
    put, ended = SIZES[name]
    with daemon_on(any_server, retention__dead_ms=1000) as daemon, any_server.client() as client:
        daemon.wait_for("daemon working")
        _published(daemon, any_server, client, "first")
        memory = Memory(daemon.process.pid)
        memory.forget_peak()
        before = memory.resident
        put(client)
        _published(daemon, any_server, client, "neighbour")
        if ended is not None:
            wait_until(lambda: ended(client), f"{name} came to its end")
        _published(daemon, any_server, client, "last")
        # Shown by pytest -s.
        sys.stdout.write(f"{name}: {before:.1f} MB before, {memory.peak:.1f} MB at most\n")
        assert memory.peak - before < ROOM_MB
        assert max(map(len, daemon.log.read_text().splitlines())) < 4096


def _published(daemon: DaemonProcess, server: Server, client: redis.Redis, user: str) -> None:
    made = accept(server, user)["notification_id"]
    key = KEYS.notification(made)

    def published() -> bool:
        assert daemon.process.poll() is None, daemon.log.read_text()
        state = client.hget(key, f"push:{user}")
        return isinstance(state, bytes) and decode_route(state).status is Status.PUBLISHED

    wait_until(published, f"{user} is published")
