"""The report of what one script published: counts, lateness, a line and a span."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.publish_call import Published
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.pipeline import recorder
from tests.support.telemetry import Lines, Metrics, json_logs, traceparent

NOW = 1_900_000_000_000
KEYS = Keys("gn", 0)
PUBLISHED = Published(
    *("published", NOW, None, 17, 0, 6),
    types=[("turn", 3), ("chat", 2), ("turn", 1)],
    dues=[(NOW - 2_000, 1), (NOW - 250, 4), (NOW, 1)],
    traceparents=[traceparent(7), traceparent(7), traceparent(8, "00"), traceparent(9)],
)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and return a function that reads them all."""
    with json_logs() as read:
        yield read


def _reporter(telemetry: Telemetry) -> Reporter:
    return Reporter(telemetry, KEYS, "host-1-abcd", 8)


def test_published__counts_by_type() -> None:
    """A type that comes twice is summed; each route is one attempt."""
    metrics = Metrics()
    _reporter(metrics.recorder).published("push", PUBLISHED, 0)
    assert metrics.values("routes.published") == {("push", "turn"): 4, ("push", "chat"): 2}
    assert metrics.values("routes.attempts") == {
        ("push", "", "published", "turn"): 4,
        ("push", "", "published", "chat"): 2,
    }
    assert metrics.recorder.shutdown()


def test_published__notes_the_lateness_of_each_route() -> None:
    """By the server's clock, from the due time of each route."""
    metrics = Metrics()
    _reporter(metrics.recorder).published("push", PUBLISHED, 0)
    (point,) = metrics.read()["routes.lateness"].data.data_points
    assert dict(point.attributes) == {"channel": "push"}
    assert (point.count, point.sum, point.max) == (6, 3.0, 2.0)
    assert metrics.recorder.shutdown()


def test_published__is_one_line_of_sums(lines: Lines) -> None:
    """The line is that of settled batches; the second batch of a second waits for the next."""
    reporter = _reporter(Telemetry.off())
    for _ in range(2):
        reporter.published("push", PUBLISHED, 0)
    reporter.log_sums(at_end=True)
    found = [
        (line["event"], line["channel"], line["published"], line["batches"], line["latest_s"])
        for line in lines()
    ]
    assert found == [("batch settled", "push", 6, 1, 2.0)] * 2


def test_published__has_a_span_with_links() -> None:
    """It began when the script was sent, and is linked to each sampled trace once."""
    exporter = InMemorySpanExporter()
    telemetry = recorder([], [SimpleSpanProcessor(exporter)], {})
    _reporter(telemetry).published("push", PUBLISHED, 12_345)
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind, span.parent) == (
        f"publish {KEYS.stream}",
        SpanKind.PRODUCER,
        None,
    )
    assert span.start_time == 12_345
    assert span.end_time is not None
    assert [link.context.trace_id for link in span.links] == [7, 9]
    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 6
