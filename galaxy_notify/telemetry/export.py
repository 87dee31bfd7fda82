"""Start exporting, if the standard ``OTEL_*`` variables ask for it; else nothing is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from galaxy_notify.telemetry.base import Signal, Telemetry, Wish

EXPORT_TIMEOUT_S: Final = 3
_PREFIX: Final = "OTEL_EXPORTER_OTLP"


def start_telemetry(
    attributes: Mapping[str, str], environ: Mapping[str, str] | None = None
) -> Telemetry:
    """Return telemetry that exports what the environment asks for, or one that costs nothing.

    *attributes* describe the process; the ``OTEL_*`` variables win over them. A wish that cannot
    be met is logged and dropped: telemetry never stops the process.
    """
    wishes = wished(os.environ if environ is None else environ)
    if not wishes:
        return Telemetry.off()
    # The SDK takes a tenth of a second to load, which only those who export should pay for.
    from galaxy_notify.telemetry.pipeline import build

    return build(wishes, attributes)


def wished(environ: Mapping[str, str]) -> list[Wish]:
    """Return the exporters that the environment asks for."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    signals: tuple[Signal, ...] = ("METRICS", "TRACES")
    return [_wish(signal, name, environ) for signal in signals for name in _names(signal, environ)]


def _names(signal: Signal, environ: Mapping[str, str]) -> list[str]:
    named = environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    if named:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "none")]
    return ["otlp"] if _setting(signal, "ENDPOINT", environ) else []


def _wish(signal: Signal, name: str, environ: Mapping[str, str]) -> Wish:
    protocol = _setting(signal, "PROTOCOL", environ) or "http/protobuf"
    timeout_s = None if _setting(signal, "TIMEOUT", environ) else EXPORT_TIMEOUT_S
    return Wish(signal, name, protocol, timeout_s)


def _setting(signal: Signal, name: str, environ: Mapping[str, str]) -> str:
    own = environ.get(f"{_PREFIX}_{signal}_{name}", "").strip()
    return own or environ.get(f"{_PREFIX}_{name}", "").strip()
