"""Trace context of the moment: kept with a notification at accept, and written into log lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

_API: Final = "opentelemetry.trace"


class TraceIds(NamedTuple):
    """The current span, as W3C Trace Context writes it."""

    trace_id: str
    span_id: str
    flags: str


def current_ids() -> TraceIds | None:
    """Return the ids of the current span, or None; OpenTelemetry is not loaded for it."""
    # A span can only be open where something else has loaded the API already.
    if _API not in sys.modules:
        return None
    context = _span_reader()().get_span_context()
    if not context.is_valid:
        return None
    return TraceIds(
        f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{context.trace_flags & 0xFF:02x}"
    )


@cache
def _span_reader() -> Callable[[], Any]:
    # An import statement, even of what is loaded, costs more than the rest of `current_ids`.
    from opentelemetry.trace import get_current_span

    return get_current_span


def current_traceparent() -> str:
    """Return the traceparent of the current span, empty where there is none."""
    ids = current_ids()
    return f"00-{ids.trace_id}-{ids.span_id}-{ids.flags}" if ids else ""
