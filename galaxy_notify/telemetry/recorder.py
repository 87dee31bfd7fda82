"""Telemetry that is exported: counters, histograms, gauges and spans of OpenTelemetry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from galaxy_notify.telemetry.base import IntentVerb, Settled, Snapshot, Telemetry, Verb
from galaxy_notify.telemetry.gauges import Gauges
from galaxy_notify.telemetry.instruments import INSTRUMENTS, DeferredCounter
from galaxy_notify.telemetry.labels import CappedLabels
from galaxy_notify.telemetry.spans import publish_span, record_published_span

MAX_TYPES: Final = 200
MAX_CODES: Final = 50
MAX_PRODUCERS: Final = 50
MAX_CLIENTS: Final = 200
LATENESS_SAMPLED: Final = 8
_LATENCIES_SAMPLED: Final = 100
#: What each request counts.
_DEFERRED: Final = (
    *("notifications.accepted", "routes.accepted", "http.client.requests"),
    *("realtime.streams", "realtime.ended"),
)
_ATTEMPTS: Final = frozenset({"published", "retried", "dead_lettered"})


def _sample(seconds: Sequence[float], most: int) -> Sequence[float]:
    """Return so many of them, evenly spaced: to record one takes microseconds."""
    return seconds[:: -(-len(seconds) // most) or 1]


class Recorder(Telemetry):
    """`Telemetry` on the instruments of a meter; ``stops`` end the exporters."""

    def __init__(
        self,
        meter: Meter,
        tracer: Tracer | None = None,
        stops: Sequence[Callable[[], object]] = (),
    ) -> None:
        self._counters = {
            one.short_name: meter.create_counter(one.name, one.unit, one.description)
            for one in INSTRUMENTS
            if one.kind == "counter"
        }
        self._histograms = {
            one.short_name: meter.create_histogram(
                *(one.name, one.unit, one.description),
                explicit_bucket_boundaries_advisory=one.buckets,
            )
            for one in INSTRUMENTS
            if one.kind == "histogram"
        }
        self._deferred = {name: DeferredCounter(self._counters[name]) for name in _DEFERRED}
        self._gauges = Gauges(meter, time.monotonic, self._flush)
        self._tracer = tracer
        self._stops = stops
        self._types = CappedLabels(MAX_TYPES)
        self._codes = CappedLabels(MAX_CODES)
        self._producers = CappedLabels(MAX_PRODUCERS)
        self._clients = CappedLabels(MAX_CLIENTS)

    def accepted(self, notifications: int, routes: Mapping[str, int], duplicates: int = 0) -> None:
        taken = self._deferred["notifications.accepted"]
        if notifications:
            taken.add(notifications, {"status": "accepted"})
        if duplicates:
            taken.add(duplicates, {"status": "duplicate"})
        for channel, count in routes.items():
            self._deferred["routes.accepted"].add(count, {"channel": channel})

    def refused(self, code: str, count: int = 1) -> None:
        self._counters["notifications.refused"].add(count, {"code": code})

    def background(self, dropped: Mapping[str, int], waiting: Mapping[str, int]) -> None:
        for reason, count in dropped.items():
            self._counters["background.dropped"].add(count, {"reason": reason})
        self._gauges.waiting = dict(waiting)

    def intents(self, verb: IntentVerb, count: int = 1) -> None:
        self._counters[f"intents.{verb}"].add(count)

    def intents_of(self, producer: str, status: str, count: int = 1) -> None:
        named = {"producer": self._producers.label(producer), "status": status}
        self._counters["intents.accepted"].add(count, named)

    def batch_settled(
        self, channel: str, counts: Mapping[Settled, int], lateness_s: Sequence[float]
    ) -> None:
        for (kind, result, failure_class), count in counts.items():
            self._settled(channel, (self._types.label(kind), result, failure_class), count)
        for seconds in _sample(lateness_s, LATENESS_SAMPLED):
            self._histograms["routes.lateness"].record(max(0.0, seconds), {"channel": channel})

    def delivery_attempted(self, channel: str, outcome: str, reason: str, seconds: float) -> None:
        about = {"channel": channel, "outcome": outcome}
        self._counters["deliveries.attempts"].add(1, about | {"reason": reason})
        self._histograms["deliveries.duration"].record(seconds, about)

    def hosts_resting(self, channel: str, count: int) -> None:
        self._gauges.hosts_resting[channel] = count

    def routes(self, verb: Verb, channel: str, count: int = 1) -> None:
        self._counters[f"routes.{verb}"].add(count, {"channel": channel})

    def fault(self, code: str, became: str) -> None:
        self._counters["state.faults"].add(1, {"code": code, "became": became})

    def script_ran(self, script: str, seconds: float, items: int = 0) -> None:
        self._histograms["script.duration"].record(seconds, {"script": script})
        if items:
            self._histograms["batch.size"].record(items, {"script": script})

    def redis_error(self, code: str) -> None:
        self._counters["redis.errors"].add(1, {"code": self._codes.label(code)})

    def progressed(self, shard: int) -> None:
        self._gauges.progressed(shard)

    def observe(self, snapshot: Snapshot) -> None:
        self._gauges.observe(snapshot)

    def publish_span(
        self, stream: str, routes: int, traceparents: Iterable[str]
    ) -> AbstractContextManager[object]:
        if self._tracer is None:
            return nullcontext()
        return publish_span(self._tracer, stream, routes, traceparents)

    def published_span(
        self, stream: str, routes: int, traceparents: Iterable[str], started_ns: int
    ) -> None:
        if self._tracer is not None:
            record_published_span(self._tracer, stream, routes, traceparents, started_ns)

    def request(self, method: str, route: str, status: int, client: str, seconds: float) -> None:
        about = {"method": method, "route": route, "status": str(status)}
        self._histograms["http.request.duration"].record(seconds, about)
        whose = {"client": self._clients.label(client), "status": str(status)}
        self._deferred["http.client.requests"].add(1, whose)

    def stream_began(self, result: str) -> None:
        self._deferred["realtime.streams"].add(1, {"result": result})

    def stream_reset(self, reason: str, count: int = 1) -> None:
        self._counters["realtime.resets"].add(count, {"reason": reason})

    def stream_ended(self, reason: str) -> None:
        self._deferred["realtime.ended"].add(1, {"reason": reason})

    def stream_frames(self, kind: str, count: int) -> None:
        self._counters["realtime.frames"].add(count, {"kind": kind})

    def stream_latencies(self, seconds: Sequence[float]) -> None:
        for one in _sample(seconds, _LATENCIES_SAMPLED):
            self._histograms["realtime.latency"].record(one)

    def gateway(self, connections: int, users: int, inbox_lag: int) -> None:
        self._gauges.gateway = {
            "realtime.connections": connections,
            "realtime.users": users,
            "realtime.inbox.lag": inbox_lag,
        }

    def feed_events(self, counts: Mapping[str, int]) -> None:
        for result, count in counts.items():
            if count:
                self._counters["feed.events"].add(count, {"result": result})

    def feed_deliveries(self, counts: Mapping[str, int]) -> None:
        for result, count in counts.items():
            if count:
                self._counters["feed.deliveries"].add(count, {"result": result})

    def feed_inserted(self, seconds: float) -> None:
        self._histograms["feed.insert.duration"].record(seconds)

    def feed_called(self, call: str, result: str, seconds: float) -> None:
        about = {"call": call, "result": result}
        self._histograms["realtime.feed.duration"].record(seconds, about)

    def feed_waiting(self, shard: int, waiting: int, backlog: int) -> None:
        for name, count in (("feed.waiting", waiting), ("feed.backlog", backlog)):
            self._gauges.feed.setdefault(name, {})[shard] = count

    def shutdown(self, timeout_s: float = 3.0) -> bool:
        # The SDK keeps no deadline when a collector is dead, so its threads are left behind.
        threads = [threading.Thread(target=stop, daemon=True) for stop in self._stops]
        for thread in threads:
            thread.start()
        end = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _flush(self) -> None:
        for counter in self._deferred.values():
            counter.flush()

    def _settled(self, channel: str, settled: Settled, count: int) -> None:
        kind, result, failure_class = settled
        attributes = {"channel": channel, "type": kind}
        if result in {"published", "retried"}:
            self._counters[f"routes.{result}"].add(count, attributes)
        elif result == "dead_lettered":
            by_class = attributes | {"class": failure_class}
            self._counters["routes.dead_lettered"].add(count, by_class)
        elif result == "expired":
            self._counters["routes.expired"].add(count, {"channel": channel})
        elif result == "conflict":
            self._counters["routes.conflicts"].add(count, {"channel": channel})
        if result in _ATTEMPTS:
            attempt = attributes | {"result": result, "class": failure_class}
            self._counters["routes.attempts"].add(count, attempt)
