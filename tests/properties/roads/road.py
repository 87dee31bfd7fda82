"""A database whose worker drains it at a clock that stands still, by one of the two roads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import redis

from galaxy_notify.settings import Settings, settings_from
from galaxy_notify.telemetry import Telemetry
from tests.properties.roads.backlogs import CHANNELS, KEYS, LARGEST_PAYLOAD, NOW, Planted, plant
from tests.scripts.support.shard import Shard
from tests.scripts.support.snapshot import snapshot
from tests.support.servers import Server
from tests.support.worker import WorkerHarness

Publish = Literal["script", "leased"]
WORKER = "host-2-abcd"
_HOUR_MS = 3_600_000
#: What reports that a worker lives, and wakes it; none of it is what becomes of a route.
_BESIDE = (KEYS.workers, KEYS.worker(WORKER), *map(KEYS.wake, CHANNELS))
_PASSES = 5_000


class _Counts(Telemetry):
    """Counts what each script settled or published."""

    def __init__(self) -> None:
        self.items: Counter[str] = Counter()

    def script_ran(self, script: str, seconds: float, items: int = 0) -> None:
        self.items[script] += items


class Road:
    """One database and the worker that drains it."""

    def __init__(self, server: Server, database: int, publish: Publish, batch: int = 128) -> None:
        url = server.url.replace("db=0", f"db={database}")
        self.client = redis.Redis.from_url(url)
        self.settings = _settings(url, publish, batch)
        self._counts = _Counts()
        self._worker = WorkerHarness(self.settings, name=WORKER, telemetry=self._counts)
        self._worker.shards[0].store._now = NOW

    @property
    def items(self) -> Counter[str]:
        """How many routes each script settled or published."""
        return self._counts.items

    def drain(self, backlog: Iterable[Planted]) -> None:
        """Empty the database, plant a backlog and let the worker run until nothing is due."""
        self.client.flushdb()
        plant(self.client, backlog)
        for _ in range(_PASSES):
            if not self._worker.run(self._worker.shards[0].worker.run_once(0)).claimed:
                return
        raise AssertionError("something is claimed again and again")

    def content(self) -> dict[str, Any]:
        """Return all that the database holds, with events in place of their stream ids.

        The server's clock decides about stream ids, and the rest of a time to live is in hours.
        """
        found: dict[str, Any] = snapshot(Shard(self.client), without=_BESIDE)
        events = self._named_events(found)
        for name in (KEYS.stream, KEYS.orphans):
            entries = found.pop(name, ((), False))[0]
            found[name] = sorted(sorted(fields.items()) for _, fields in entries)
        for name, (_, expires) in [(n, v) for n, v in found.items() if ":notification:" in n]:
            left: Any = self.client.pttl(name) if expires else 0
            found[name] = (found[name][0], round(left / _HOUR_MS))
        assert len(events) == len(found[KEYS.stream])
        return found

    def close(self) -> None:
        """Close the connections."""
        self._worker.close()
        self.client.close()

    def _named_events(self, found: dict[str, Any]) -> set[bytes]:
        """Replace the stream id at the end of each published state; return the ids of events."""
        names = set()
        for stream_id, fields in found.get(KEYS.stream, ((), False))[0]:
            event = fields[b"event_id"]
            made, _, route_id = event.partition(b"#")[0].partition(b"/")
            states = found[KEYS.notification(made.decode())][0]
            assert states[route_id].endswith(stream_id), event
            states[route_id] = states[route_id].removesuffix(stream_id) + b"=" + event
            names.add(event)
        return names


@contextmanager
def both_roads(server: Server, batch: int = 128) -> Iterator[tuple[Road, Road]]:
    """Give a database that is drained by the script, and one that is drained by leases only."""
    roads = Road(server, 0, "script", batch), Road(server, 1, "leased", batch)
    try:
        yield roads
    finally:
        for road in roads:
            road.close()


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Assert that two databases hold the same, key by key: a difference is shown alone."""
    for name in sorted({*found, *wanted}):
        assert found.get(name) == wanted.get(name), name


def _settings(url: str, publish: Publish, batch: int) -> Settings:
    worker = {"channels": list(CHANNELS), "publish": publish, "batch_size": batch}
    return settings_from(
        {
            "redis": {"url": url},
            "worker": {**worker, "lease_ttl_ms": 4_000_000},
            "limits": {"max_payload_bytes": LARGEST_PAYLOAD},
            "rules": {"cooldowns": ["chat=7200000"], "mandatory": ["alarm"]},
        }
    )
