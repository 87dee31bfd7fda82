"""What a shard holds, read in two round trips and told as the model tells it."""

from __future__ import annotations

import math
from typing import Any

from galaxy_notify.model.route import Status, decode_route
from galaxy_notify.redis_state.keys import Keys
from tests.properties.model.support.expected import CHANNELS, KEEPS
from tests.scripts.support.shard import Shard

_READS = {
    "schedule": "ZRANGE",
    "leases": "ZRANGE",
    "dead": "ZRANGE",
    "abandoned": "HGETALL",
    "wake": "LLEN",
}


class Observed:
    """A shard at one moment."""

    def __init__(self, shard: Shard) -> None:
        client, keys = shard.client, shard.keys
        prefix = keys.notification("")
        found: Any = client.keys(f"{prefix}*")
        names = sorted(key.decode().removeprefix(prefix) for key in found)
        pipeline = client.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(keys.notification(name))
            pipeline.pttl(keys.notification(name))
        self._ask_indexes(pipeline, keys)
        pipeline.hgetall(keys.totals)
        pipeline.smembers(keys.paused)
        pipeline.xrange(keys.stream)
        pipeline.xrange(keys.orphans)
        replies = iter(pipeline.execute())
        self.notifications = {name: (next(replies), next(replies)) for name in names}
        self.indexes: dict[tuple[str, str], Any] = {
            (kind, channel): next(replies) for channel in CHANNELS for kind in _READS
        }
        self._totals, self._paused, self.entries, self._orphans = replies

    @property
    def view(self) -> dict[str, Any]:
        """Return all of it, to be compared with the model's."""
        return {
            "notifications": {
                name: _seen(name, *made) for name, made in self.notifications.items()
            },
            "schedule": {c: _whole(self.indexes["schedule", c]) for c in CHANNELS},
            "dead": {c: _whole(self.indexes["dead", c]) for c in CHANNELS},
            "leased": {c: self._leased(c) for c in CHANNELS},
            "left_behind": {
                c: {m.decode(): int(n) for m, n in self.indexes["abandoned", c].items()}
                for c in CHANNELS
            },
            "leases": {
                t: at for c in CHANNELS for t, at in _whole(self.indexes["leases", c]).items()
            },
            "events": [fields[b"event_id"].decode() for _, fields in self.entries],
            "orphans": [(f[b"member"].decode(), f[b"reason"].decode()) for _, f in self._orphans],
            "totals": {name.decode(): int(count) for name, count in self._totals.items()},
            "paused": {channel.decode() for channel in self._paused},
        }

    def assert_sound(self) -> None:
        """Assert what the model has no word for: wake-ups, stream ids, leases of their own."""
        for channel in CHANNELS:
            assert self.indexes["wake", channel] <= 1
            scores = [at for _, at in self.indexes["leases", channel]]
            assert len(set(scores)) == len(scores), "two leases lapse at the same time"
            assert all(at % 1 for at in scores), "a lease is not told from what is due"
        ids = {stream_id for stream_id, _ in self.entries}
        for fields, _ in self.notifications.values():
            for name, state in fields.items():
                route = decode_route(state) if b":" in name else None
                if route is not None and route.status is Status.PUBLISHED and ids:
                    known = route.stream_id.encode()
                    assert known in ids or _before(known, min(ids, key=_order)), "no such event"

    def _leased(self, channel: str) -> dict[str, str]:
        tokens = {at: token.decode() for token, at in self.indexes["leases", channel]}
        pairs = self.indexes["schedule", channel]
        return {member.decode(): tokens[at] for member, at in pairs if at in tokens}

    def _ask_indexes(self, pipeline: Any, keys: Keys) -> None:
        for channel in CHANNELS:
            for kind, command in _READS.items():
                key = getattr(keys, kind)(channel)
                if command == "ZRANGE":
                    pipeline.zrange(key, 0, -1, withscores=True)
                else:
                    getattr(pipeline, command.lower())(key)


def _whole(pairs: Any) -> dict[str, int]:
    """Read a sorted set in whole ms: what is behind the point only tells leases apart."""
    return {member.decode(): math.ceil(at) for member, at in pairs}


def _seen(name: str, fields: dict[bytes, bytes], ttl: int) -> dict[str, Any]:
    routes = {}
    for field, state in fields.items():
        if b":" in field:
            route = decode_route(state)
            told = (str(route.status), route.generation, route.attempts, route.due_at_ms)
            routes[f"{name}/{field.decode()}"] = (*told, route.at_ms)
    return {
        "open": int(fields[b"open"]) if b"open" in fields else None,
        "cancelled": b"cancelled" in fields,
        "kept": next(
            (keep for keep in KEEPS if keep / 2 < ttl <= keep), None if ttl == -1 else ttl
        ),
        "routes": routes,
    }


def _order(stream_id: bytes) -> tuple[int, int]:
    ms, _, number = stream_id.partition(b"-")
    return int(ms), int(number)


def _before(one: bytes, other: bytes) -> bool:
    return _order(one) < _order(other)
