"""The span of a batch, linked to the spans in which its notifications were accepted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    use_span,
)

MAX_LINKS: Final = 16
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
)


@contextmanager
def publish_span(
    tracer: Tracer, stream: str, routes: int, traceparents: Iterable[str]
) -> Iterator[None]:
    """Open the span of one batch: a trace of its own, for a route may have waited for days."""
    span = _span(tracer, stream, routes, traceparents)
    with use_span(span, end_on_exit=True):
        yield


def record_published_span(
    tracer: Tracer, stream: str, routes: int, traceparents: Iterable[str], started_ns: int
) -> None:
    """Record the span of a batch whose notifications were known only when it was published."""
    _span(tracer, stream, routes, traceparents, started_ns).end()


def _span(
    tracer: Tracer,
    stream: str,
    routes: int,
    traceparents: Iterable[str],
    started_ns: int | None = None,
) -> Span:
    return tracer.start_span(
        f"publish {stream}",
        context=Context(),
        kind=SpanKind.PRODUCER,
        links=links(traceparents),
        start_time=started_ns,
        attributes={
            "messaging.system": "redis",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": stream,
            "messaging.batch.message_count": routes,
        },
    )


def links(traceparents: Iterable[str]) -> list[Link]:
    """Return links to at most 16 distinct spans that were sampled; others are left out."""
    found: dict[str, Link] = {}
    for traceparent in traceparents:
        if not traceparent or traceparent in found:
            continue
        context = _sampled(traceparent)
        if context is None:
            continue
        found[traceparent] = Link(context)
        if len(found) == MAX_LINKS:
            break
    return list(found.values())


def _sampled(traceparent: str) -> SpanContext | None:
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    flags = TraceFlags(int(match[3], 16))
    if not flags.sampled:
        return None
    return SpanContext(int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=flags)
