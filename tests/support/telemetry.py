"""What tests of logs and telemetry share: logs in memory, metrics in memory."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

import structlog
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from galaxy_notify.telemetry import Backlog, Snapshot, Telemetry, Verb
from galaxy_notify.telemetry.logs import Level, LibraryHandler, configure_logs
from galaxy_notify.telemetry.pipeline import recorder

Lines = Callable[[], list[dict[str, Any]]]


@contextmanager
def logging_restored() -> Iterator[None]:
    """Leave the process's logging as it was found."""
    root = logging.getLogger()
    level = root.level
    try:
        yield
    finally:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
        root.handlers[:] = [one for one in root.handlers if not isinstance(one, LibraryHandler)]
        root.setLevel(level)


@contextmanager
def json_logs(level: Level = "debug") -> Iterator[Lines]:
    """Send JSON logs to memory and give a function that reads them all.

    At the level ``debug`` no worker of this process publishes by the script.
    """
    stream = io.StringIO()

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    with logging_restored():
        configure_logs(level, "json", stream)
        yield read


class Metrics:
    """A recorder and what it would export."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.recorder = recorder([self._reader], [], {"service.instance.id": "w-1"})

    def read(self) -> dict[str, Any]:
        """Return the exported metrics by name, without the prefix."""
        exported = self._reader.get_metrics_data()
        if exported is None:
            return {}
        (resource,) = exported.resource_metrics
        (scope,) = resource.scope_metrics
        return {one.name.removeprefix("galaxy_notify."): one for one in scope.metrics}

    def values(self, name: str) -> dict[tuple[object, ...], object]:
        """Return the points of one metric: attribute values in sorted order of names → value."""
        metric = self.read().get(name)
        points = metric.data.data_points if metric else []
        return {
            tuple(point.attributes[key] for key in sorted(point.attributes)): point.value
            for point in points
        }


def everything(telemetry: Telemetry) -> None:
    """Tell of everything that can be told."""
    telemetry.accepted(2, {"push": 3}, duplicates=1)
    telemetry.refused("invalid")
    telemetry.background({"queue_full": 3}, {"queued": 5})
    telemetry.intents("read", 3)
    telemetry.intents("reclaimed")
    telemetry.intents("rejected")
    telemetry.intents_of("lobby", "accepted", 2)
    telemetry.batch_settled(
        "push",
        {
            ("turn", "published", ""): 5,
            ("turn", "retried", "gateway_stream_publish_failed"): 2,
            ("turn", "dead_lettered", "record_corrupt"): 1,
            ("turn", "expired", ""): 1,
            ("turn", "conflict", ""): 4,
        },
        [0.002, 0.3],
    )
    for verb in get_args(Verb):
        telemetry.routes(verb, "push", 7)
    telemetry.fault("late", "mended")
    telemetry.script_ran("route_claim", 0.001, 128)
    telemetry.request("POST", "/v1/notifications", 201, "shop", 0.003)
    telemetry.redis_error("OOM")
    telemetry.stream_began("new")
    telemetry.stream_reset("trimmed", 2)
    telemetry.stream_ended("rotate")
    telemetry.stream_frames("notification", 5)
    telemetry.stream_latencies([0.004])
    telemetry.gateway(3, 2, 1)
    telemetry.feed_events({"written": 3, "left": 0})
    telemetry.feed_deliveries({"added": 2, "given_up": 1, "parked": 0})
    telemetry.feed_inserted(0.004)
    telemetry.feed_called("page", "ok", 0.002)
    telemetry.feed_waiting(0, 7, 5)
    telemetry.delivery_attempted("hooks", "transient", "timeout", 0.2)
    telemetry.hosts_resting("hooks", 2)
    telemetry.progressed(0)
    telemetry.observe(
        Snapshot(
            backlogs={(0, "push"): Backlog(9, 2, 1.5, 3)},
            streams={0: 100},
            lags={(0, "gateway"): 4},
            totals={(0, "replayed"): 11},
            feed_backlogs={0: 3},
        )
    )


def traceparent(number: int, flags: str = "01") -> str:
    """Return a traceparent made of one number."""
    return f"00-{number:032x}-{number:016x}-{flags}"
