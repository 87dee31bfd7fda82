"""Metrics that Prometheus fetches, beside those that the ``OTEL_*`` variables export."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from galaxy_notify.telemetry.base import Telemetry
from galaxy_notify.telemetry.export import wished
from galaxy_notify.telemetry.pipeline import build

#: The text format that every Prometheus reads.
MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Scraped:
    """Telemetry, and the text for a scrape of it."""

    telemetry: Telemetry
    registry: CollectorRegistry
    _one_at_a_time: Lock = field(default_factory=Lock)

    def text(self) -> bytes:
        """Return every metric as it stands, in the text format."""
        # Of two concurrent scrapes one would get every value twice, and the other none.
        with self._one_at_a_time:
            return generate_latest(self.registry)


def start_scraped(
    attributes: Mapping[str, str], environ: Mapping[str, str] | None = None
) -> Scraped:
    """Return telemetry that can be scraped and exports what the environment asks for."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
    wishes = wished(os.environ if environ is None else environ)
    return Scraped(build(wishes, attributes, [reader]), registry)


def merged(label: str, texts: Mapping[str, bytes]) -> bytes:
    """Return several texts as one, with the key of each in the *label* of its samples.

    The samples of one metric stay together, under one description.
    """
    about: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for value, text in texts.items():
        family = ""
        for line in text.decode().splitlines():
            if line.startswith("# HELP "):
                family = line.split(" ", 3)[2]
                samples.setdefault(family, [])
            if line.startswith("#"):
                described = about.setdefault(family, [])
                if line not in described:
                    described.append(line)
            elif line:
                samples[family].append(_labelled(line, f'{label}="{value}"'))
    lines = [line for family in samples for line in (*about[family], *samples[family])]
    return "".join(f"{line}\n" for line in lines).encode()


def _labelled(line: str, label: str) -> str:
    name, brace, rest = line.partition("{")
    if brace:
        return f"{name}{{{label},{rest}"
    name, _, rest = line.partition(" ")
    return f"{name}{{{label}}} {rest}"
