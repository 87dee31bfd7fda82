"""The baseline: one route after another, five round trips each, as the source design did it.

Lease, load the notification, load the route, complete, release. It is a process of its own, like
the daemon it is compared with: ``python -m tests.bench.sequential URL ROUTES``.
"""

from __future__ import annotations

import secrets
import sys
from typing import Any

import msgpack
import redis

from tests.bench.texts import texts

STREAM = "seq:client-events"
_LEASE_MS = 30_000
_BATCH = 64

# One script may append the event and change the state, as the source's completion did.
_COMPLETE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 4))
redis.call('HSET', KEYS[3], ARGV[2], 'published')
redis.call('ZREM', KEYS[4], ARGV[3])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


def seed(client: redis.Redis, routes: int, text_bytes: int) -> None:
    """Make so many notifications with one route each, all due."""
    bodies = texts(text_bytes)
    for start in range(0, routes, 1000):
        pipeline = client.pipeline(transaction=False)
        for number in range(start, min(start + 1000, routes)):
            payload = bodies[number % len(bodies)].encode()
            record = msgpack.packb({"type": "bench", "producer": "bench", "payload": payload})
            key = f"seq:notification:{number}"
            pipeline.hset(key, mapping={"record": record, "push:user-1": "pending"})
            pipeline.zadd("seq:schedule", {f"{number}/push:user-1": number})
        pipeline.execute()


def drain(client: redis.Redis, routes: int) -> None:
    """Publish so many routes, one after the other."""
    complete, release = client.register_script(_COMPLETE), client.register_script(_RELEASE)
    token, done = secrets.token_hex(16), 0
    while done < routes:
        for member in _list(client):
            done += _publish(client, (complete, release), member.decode(), token)


def _list(client: redis.Redis) -> list[bytes]:
    members: Any = client.zrange("seq:schedule", 0, _BATCH - 1)
    return list(members)


def _publish(client: redis.Redis, scripts: tuple[Any, Any], member: str, token: str) -> int:
    number, route = member.split("/")
    lease, key = f"seq:lease:{member}", f"seq:notification:{number}"
    if not client.set(lease, token, nx=True, px=_LEASE_MS):
        return 0
    stored: Any = client.hget(key, "record")
    record = msgpack.unpackb(stored)
    if client.hget(key, route) != b"pending":
        return 0
    fields = ["user_id", "user-1", "event_type", record["type"], "event_id", member]
    fields += ["payload_bytes", record["payload"]]
    complete, release = scripts
    keys = [lease, STREAM, key, "seq:schedule"]
    done = complete(keys=keys, args=[token, route, member, *fields])
    release(keys=[lease], args=[token])
    return int(done)


if __name__ == "__main__":
    with redis.Redis.from_url(sys.argv[1]) as own_client:
        drain(own_client, int(sys.argv[2]))
