"""Metrics, spans and their export."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from galaxy_notify.telemetry import Backlog, Snapshot, Telemetry
from galaxy_notify.telemetry.gauges import Gauges
from galaxy_notify.telemetry.instruments import INSTRUMENTS
from galaxy_notify.telemetry.labels import CappedLabels
from galaxy_notify.telemetry.pipeline import recorder
from galaxy_notify.telemetry.recorder import MAX_TYPES
from galaxy_notify.telemetry.spans import MAX_LINKS
from galaxy_notify.telemetry.tracing import current_traceparent
from tests.support.telemetry import Metrics, everything, traceparent

DOCS = Path(__file__).parents[3] / "docs" / "telemetry.md"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    """Give a recorder that exports to memory."""
    made = Metrics()
    yield made
    assert made.recorder.shutdown()


def test_docs__tell_of_every_metric() -> None:
    """The table in the docs has the code's names, kinds, units, attributes and meanings."""
    rows = re.findall(
        r"^\| `(.+?)` \| (.+?) \| (.+?) \| (.*?) \| (.+?) \|$", DOCS.read_text(), re.M
    )
    documented = {name: others for name, *others in rows}
    assert documented == {
        one.short_name: [
            one.kind,
            one.unit,
            ", ".join(f"`{name}`" for name in one.attributes),
            one.description,
        ]
        for one in INSTRUMENTS
    }


def test_metrics__all_are_exported_as_described(metrics: Metrics) -> None:
    """Every metric of the table is exported, with its unit and exactly its attributes."""
    everything(metrics.recorder)
    exported = metrics.read()
    assert set(exported) == {one.short_name for one in INSTRUMENTS}
    for one in INSTRUMENTS:
        metric = exported[one.short_name]
        assert (metric.unit, metric.description) == (one.unit, one.description)
        for point in metric.data.data_points:
            assert set(point.attributes) == set(one.attributes), one.name


def test_metrics__count_what_a_batch_did(metrics: Metrics) -> None:
    """A settled route is counted once in its outcome; only real attempts are attempts."""
    everything(metrics.recorder)
    assert metrics.values("routes.published") == {("push", "turn"): 5}
    assert metrics.values("routes.retried") == {("push", "turn"): 2}
    assert metrics.values("routes.dead_lettered") == {("push", "record_corrupt", "turn"): 1}
    assert metrics.values("routes.expired") == {("push",): 1}
    assert metrics.values("routes.conflicts") == {("push",): 4}
    assert metrics.values("routes.attempts") == {
        ("push", "", "published", "turn"): 5,
        ("push", "gateway_stream_publish_failed", "retried", "turn"): 2,
        ("push", "record_corrupt", "dead_lettered", "turn"): 1,
    }
    assert metrics.values("notifications.accepted") == {("accepted",): 2, ("duplicate",): 1}


def test_lateness__is_sampled_over_the_whole_batch(metrics: Metrics) -> None:
    """Of a large batch eight routes are measured, the first among them; a negative one is 0."""
    metrics.recorder.batch_settled("push", {}, [-5.0, *(n / 10 for n in range(127))])
    metrics.recorder.batch_settled("push", {}, [])
    (point,) = metrics.read()["routes.lateness"].data.data_points
    assert point.count == 8
    assert point.min == 0.0
    assert point.max > 10
    assert (point.explicit_bounds[0], point.explicit_bounds[-1]) == (0.001, 3600.0)


def test_stream_latencies__are_sampled_evenly(metrics: Metrics) -> None:
    """Few are all measured; of many a hundred, from the first to the last."""
    metrics.recorder.stream_latencies([0.001] * 100)
    metrics.recorder.stream_latencies([n / 1000 for n in range(1000)])
    metrics.recorder.stream_latencies([])
    (point,) = metrics.read()["realtime.latency"].data.data_points
    assert (point.count, point.min, point.max) == (200, 0.0, 0.99)


def test_types__are_capped(metrics: Metrics) -> None:
    """However many notification types there are, a counter has a bounded number of points."""
    for number in range(MAX_TYPES + 50):
        metrics.recorder.batch_settled("push", {(f"t{number}", "published", ""): 1}, [])
    values = metrics.values("routes.published")
    assert len(values) == MAX_TYPES + 1
    assert values["push", "other"] == 50


def test_labels__known_values_keep_their_name() -> None:
    """A value that was let in stays itself after the cap is reached."""
    labels = CappedLabels(2)
    assert [labels.label(value) for value in "abcab"] == ["a", "b", "other", "a", "b"]


def test_gauges__show_the_last_snapshot(metrics: Metrics) -> None:
    """Gauges show the newest snapshot and nothing that is no longer in it."""
    everything(metrics.recorder)
    assert metrics.values("routes.scheduled") == {("push", 0): 9}
    assert metrics.values("routes.oldest_overdue") == {("push", 0): 1.5}
    assert metrics.values("stream.group.lag") == {("gateway", 0): 4}
    assert metrics.values("deployment.routes") == {("replayed", 0): 11}
    metrics.recorder.observe(Snapshot(backlogs={(1, "push"): Backlog(1)}))
    assert metrics.values("routes.scheduled") == {("push", 1): 1}
    assert metrics.values("stream.group.lag") == {}


def test_gauges__show_the_backlog_of_the_feed_once() -> None:
    """A daemon shows it, so that it shows without any writer; one that writes shows its own."""
    gauges = Gauges(NoOpMeterProvider().get_meter("t"), lambda: 1000.0)
    assert list(gauges.read("feed.backlog")) == []
    gauges.observe(Snapshot(feed_backlogs={0: 7}))
    assert [one.value for one in gauges.read("feed.backlog")] == [7]
    gauges.feed["feed.backlog"] = {0: 8}
    assert [one.value for one in gauges.read("feed.backlog")] == [8]


def test_gauges__fall_silent_rather_than_lie() -> None:
    """A snapshot is shown for a minute; the heartbeat keeps counting."""
    now = [1000.0]
    gauges = Gauges(NoOpMeterProvider().get_meter("t"), lambda: now[0])
    gauges.progressed(0)
    gauges.observe(Snapshot(streams={0: 5}))
    now[0] += 60
    assert [one.value for one in gauges.read("stream.length")] == [5]
    now[0] += 1
    assert list(gauges.read("stream.length")) == []
    assert [one.value for one in gauges.read("loop.idle")] == [61]


def test_span__links_to_where_notifications_came_from() -> None:
    """A batch is one PRODUCER span in its own trace, linked to sampled, well-formed origins."""
    exporter = InMemorySpanExporter()
    telemetry = recorder([], [SimpleSpanProcessor(exporter)], {})
    given = ["", "rubbish", traceparent(0), traceparent(1, "00"), f"ff{traceparent(2)[2:]}"]
    given += [traceparent(7), traceparent(7), f"{traceparent(8)}\n", traceparent(9, "03")]
    with (
        telemetry_tracer().start_as_current_span("outer") as outer,
        telemetry.publish_span("{gn:0}:client-events", 128, given),
    ):
        assert current_traceparent().startswith("00-")
    (span,) = exporter.get_finished_spans()
    assert span.name == "publish {gn:0}:client-events"
    assert span.kind is SpanKind.PRODUCER
    assert span.parent is None
    assert span.context.trace_id != outer.get_span_context().trace_id
    assert [link.context.span_id for link in span.links] == [7, 9]
    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 128


def telemetry_tracer() -> Any:
    return TracerProvider(shutdown_on_exit=False).get_tracer("t")


def test_span__has_a_bounded_number_of_links() -> None:
    """At most 16 origins are linked, and no more than that are looked at."""
    exporter = InMemorySpanExporter()
    telemetry = recorder([], [SimpleSpanProcessor(exporter)], {})
    given = (traceparent(number) for number in range(1, 1000))
    with telemetry.publish_span("s", 1, given):
        pass
    (span,) = exporter.get_finished_spans()
    assert len(span.links) == MAX_LINKS
    assert next(given) == traceparent(MAX_LINKS + 1)


def test_traceparent__is_the_current_span() -> None:
    """Accept takes the traceparent of the span it runs in, and none outside of one."""
    assert current_traceparent() == ""
    with telemetry_tracer().start_as_current_span("s") as span:
        context = span.get_span_context()
        ids = f"00-{context.trace_id:032x}-{context.span_id:016x}"
        assert re.fullmatch(rf"{ids}-0[13]", current_traceparent())


def test_off__takes_everything_and_does_nothing() -> None:
    """Telemetry that is off accepts every call."""
    telemetry = Telemetry.off()
    everything(telemetry)
    with telemetry.publish_span("s", 1, [traceparent(1)]):
        assert current_traceparent() == ""
    assert telemetry.shutdown()


def test_off__loads_nothing() -> None:
    """Without a wish for export neither the API nor the SDK of OpenTelemetry is imported."""
    code = (
        "import sys\n"
        "from galaxy_notify.telemetry.export import start_telemetry\n"
        "from galaxy_notify.telemetry.tracing import current_traceparent\n"
        "start_telemetry({}, {}).progressed(0)\n"
        "assert current_traceparent() == ''\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=DOCS.parents[1])
