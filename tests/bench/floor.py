"""The floor: XADD alone, the fields of an event, batched in Lua. Nothing can publish faster.

A process of its own: ``python -m tests.bench.floor URL ROUTES TEXT_BYTES``.
"""

from __future__ import annotations

import sys
from typing import Any

import msgpack
import redis

from tests.bench.texts import texts

STREAM = "floor:client-events"
_BATCH = 128
_FIELDS = 4
_ADD = f"""
for i = 1, #ARGV, {_FIELDS} do
  redis.call('XADD', KEYS[1], '*', 'user_id', ARGV[i], 'event_type', ARGV[i + 1],
    'event_id', ARGV[i + 2], 'payload_bytes', ARGV[i + 3])
end
return #ARGV
"""


def add(client: redis.Redis, routes: int, text_bytes: int) -> None:
    """Append so many events."""
    script = client.register_script(_ADD)
    payloads = [_payload(text) for text in texts(text_bytes)]
    for start in range(0, routes, _BATCH):
        args: list[Any] = []
        for number in range(start, min(start + _BATCH, routes)):
            event_id = f"{number:032x}/push:user-{number}"
            payload = payloads[number % len(payloads)]
            args += (f"user-{number}", "bench.turn", event_id, payload)
        script(keys=[STREAM], args=args)


def _payload(text: str) -> bytes:
    packed = msgpack.packb(
        {
            "notification_id": "0" * 32,
            "type": "bench.turn",
            "producer": "bench",
            "severity": "info",
            "body": text,
            "data": {"turn": 1},
            "created_at_ms": 1_900_000_000_000,
        }
    )
    return bytes(packed)


if __name__ == "__main__":
    with redis.Redis.from_url(sys.argv[1]) as own_client:
        add(own_client, int(sys.argv[2]), int(sys.argv[3]))
