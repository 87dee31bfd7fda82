"""What operators see from outside: logs, metrics and spans. Only here is OpenTelemetry known."""

from galaxy_notify.telemetry.base import Backlog, Settled, Snapshot, Telemetry, Verb

__all__ = ["Backlog", "Settled", "Snapshot", "Telemetry", "Verb"]
