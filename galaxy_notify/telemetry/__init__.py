"""What operators see from outside: logs, metrics and spans. Only here is OpenTelemetry known."""

from galaxy_notify.telemetry.base import Backlog, IntentVerb, Settled, Snapshot, Telemetry, Verb

__all__ = ["Backlog", "IntentVerb", "Settled", "Snapshot", "Telemetry", "Verb"]
