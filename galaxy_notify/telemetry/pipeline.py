"""Exporters, readers and providers of the OpenTelemetry SDK, put together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from galaxy_notify.telemetry.base import Signal, Telemetry, Wish
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.recorder import Recorder

SCOPE: Final = "galaxy_notify"
_TRANSPORTS: Final = {"http/protobuf": "http", "grpc": "grpc"}
_OTLP: Final = {
    "METRICS": ("metric_exporter", "OTLPMetricExporter"),
    "TRACES": ("trace_exporter", "OTLPSpanExporter"),
}

_CONSOLE: Final[Mapping[Signal, type[Any]]] = {
    "METRICS": ConsoleMetricExporter,
    "TRACES": ConsoleSpanExporter,
}


def build(
    wishes: Sequence[Wish], attributes: Mapping[str, str], scraped: Sequence[MetricReader] = ()
) -> Telemetry:
    """Return telemetry with every exporter that can be made; the others are logged.

    *scraped* are readers that a scrape asks.
    """
    try:
        readers: list[MetricReader] = list(scraped)
        readers += [PeriodicExportingMetricReader(made) for made in _exporters("METRICS", wishes)]
        processors = [BatchSpanProcessor(made) for made in _exporters("TRACES", wishes)]
        if readers or processors:
            return recorder(readers, processors, attributes)
    except Exception as error:  # the SDK reads many variables, and says no in many ways
        get_logger("telemetry").warning(
            "telemetry unusable", reason=f"{type(error).__name__}: {error}"
        )
    return Telemetry.off()


def recorder(
    readers: Sequence[MetricReader],
    processors: Sequence[SpanProcessor],
    attributes: Mapping[str, str],
) -> Recorder:
    """Return a recorder for these readers and span processors; either may be empty."""
    named = {"service.name": "galaxy-notify", **attributes}
    resource = Resource.create({**named, **OTELResourceDetector().detect().attributes})
    stops: list[Callable[[], object]] = []
    meter = NoOpMeterProvider().get_meter(SCOPE)
    tracer = None
    if readers:
        meters = MeterProvider(readers, resource, shutdown_on_exit=False)
        meter = meters.get_meter(SCOPE)
        stops.append(meters.shutdown)
    if processors:
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        for processor in processors:
            tracers.add_span_processor(processor)
        tracer = tracers.get_tracer(SCOPE)
        stops.append(tracers.shutdown)
    return Recorder(meter, tracer, stops)


def _exporters(signal: Signal, wishes: Sequence[Wish]) -> list[Any]:
    made = (_exporter(wish) for wish in wishes if wish.signal == signal)
    return [exporter for exporter in made if exporter is not None]


def _exporter(wish: Wish) -> Any:
    try:
        if wish.exporter == "otlp":
            return _otlp(wish)
        if wish.exporter == "console":
            # Standard output belongs to the answers of commands.
            return _CONSOLE[wish.signal](out=sys.stderr)
        _unusable(wish, "supported are otlp, console and none")
    except ImportError as error:
        _unusable(wish, f"not installed: {error}")
    return None


def _otlp(wish: Wish) -> Any:
    transport = _TRANSPORTS.get(wish.protocol)
    if transport is None:
        _unusable(wish, "the protocol is neither http/protobuf nor grpc")
        return None
    module, exporter = _OTLP[wish.signal]
    found = import_module(f"opentelemetry.exporter.otlp.proto.{transport}.{module}")
    return getattr(found, exporter)(timeout=wish.timeout_s)


def _unusable(wish: Wish, reason: str) -> None:
    get_logger("telemetry").warning(
        "telemetry exporter unusable",
        signal=wish.signal.lower(),
        exporter=wish.exporter,
        protocol=wish.protocol,
        reason=reason,
    )
