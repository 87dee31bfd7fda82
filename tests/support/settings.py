"""Settings in tests: the contract's table, files to load, and what loading fails with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings import load_settings

YEAR_MS = 365 * 86_400_000
# As the contract's table has them, and what came later.
DEFAULTS: dict[str, dict[str, Any]] = {
    "redis": {
        "url": "redis://127.0.0.1:6379/0", "prefix": "gn", "username": None, "password": None,
        "cluster": False, "sentinels": [], "sentinel_master": "mymaster",
        "sentinel_password": None, "tls_ca": None, "tls_cert": None, "tls_key": None,
        "state_dir": None, "durability": "none", "max_waiting": 100_000,
    },
    "worker": {
        "shards": 1, "channels": ["push"], "serves": [], "slots": 2, "batch_size": 128,
        "lease_ttl_ms": 30000, "poll_interval_ms": 1000, "max_abandoned": 5, "publish": "script",
        "weights": [],
    },
    "retry": {
        "max_attempts": 8, "backoff_min_ms": 1000, "backoff_max_ms": 60000, "jitter": "full",
    },
    "gateway": {
        "stream": "", "encoder": "msgpack", "max_len": 100000, "trim": "acknowledged",
        "group_idle_ms": 86400000, "on_refused": "hold",
    },
    "retention": {
        "settled_ms": 3600000, "idempotency_ms": 86400000, "dead_ms": 0, "dead_max": 0,
    },
    "limits": {"max_payload_bytes": 262144, "max_routes": 1000, "past_due_ms": 0},
    "rules": {
        "cooldown_ms": 0, "cooldowns": [], "mandatory": [], "quiet_channels": ["push"],
        "default_channels": ["push"],
    },
    "log": {"level": "info", "format": "auto"},
    "intake": {
        "enabled": False, "stream": "gn:intents", "group": "galaxy-notify", "batch_size": 200,
        "claim_idle_ms": 10000, "max_deliveries": 5, "max_bytes": 1048576, "rejects_max": 10000,
    },
    "http": {
        "host": "127.0.0.1", "port": 8080, "workers": 1, "max_body_bytes": 4194304,
        "max_batch": 1000, "max_requests": 256, "body_ms": 10000, "shutdown_ms": 10000,
        "tokens": [],
        "jwt_algorithm": "RS256", "jwt_key": None, "jwt_secret": None, "jwt_issuer": None,
        "jwt_audience": None, "jwt_scope_claim": "scope", "jwt_scope_prefix": "",
        "jwt_leeway_ms": 10000,
    },
    "realtime": {
        "channels": ["in_app", "push"], "history": 100, "history_ms": 86400000,
        "presence_ttl_ms": 30000, "reorder_ms": 100, "buffer_events": 64, "buffer_bytes": 262144,
        "max_age_ms": 600000, "ping_ms": 25000, "drain_ms": 30000, "max_connections": 20000,
        "streams_per_user": 20, "connects_per_s": 200, "consume": True, "serve": True,
        "host": "127.0.0.1", "port": 8090, "allowed_origins": [], "bell_origins": [],
        "audience": None,
        "jwt_algorithm": "RS256", "jwt_key": None, "jwt_secret": None, "jwt_issuer": None,
        "jwt_leeway_ms": 10000, "cookie": "", "metrics_token": None, "reclaim_idle_ms": 5000,
    },
    "feed": {
        "enabled": False, "url": "", "password": None, "channels": ["in_app"], "batch_size": 500,
        "batch_ms": 50, "statement_timeout_ms": 10000, "backlog_max": 1000000, "retention_days": 0,
    },
    "contacts": {"keys": [], "lookup": ""},
}  # fmt: skip
#: Of the external channels of every kind.
CHANNEL_DEFAULTS: dict[str, Any] = {
    "max_attempts": None, "schedule_ms": [], "backoff_min_ms": None, "backoff_max_ms": None,
    "timeout_ms": 15_000, "lease_ttl_ms": 60_000, "concurrency": 32, "per_host": 8, "rate": "",
    "delivery": "at_least_once", "delay_ms": 0, "unless_read": False, "max_late_ms": 259_200_000,
}  # fmt: skip
WEBHOOK_DEFAULTS: dict[str, Any] = {
    **CHANNEL_DEFAULTS,
    "schedule_ms": [5000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 36_000_000],
    "allow": [], "require_https": True, "ports": [443, 8443],
}  # fmt: skip
EMAIL_DEFAULTS: dict[str, Any] = {
    **CHANNEL_DEFAULTS,
    "schedule_ms": [60_000, 300_000, 900_000, 3_600_000],
    "host": "", "port": 587, "username": "", "password": None, "sender": "", "templates": "",
    "public_url": "",
}  # fmt: skip
WEB_PUSH_DEFAULTS: dict[str, Any] = {
    **CHANNEL_DEFAULTS, "public_key": "", "private_key": None, "subject": "",
}  # fmt: skip
APPRISE_DEFAULTS: dict[str, Any] = {**CHANNEL_DEFAULTS, "urls": []}
#: What each kind of channel cannot do without; the keys are those of RFC 8291, section 5.
NEEDED: dict[str, dict[str, Any]] = {
    "email": {"host": "smtp.example.com", "sender": "Example <notify@example.com>"},
    "web_push": {
        "public_key": "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAm"
        "S6TlzAC8wEqKK6PBru3jl7A8",
        "private_key": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
        "subject": "mailto:ops@example.com",
    },
    "apprise": {"urls": ["json://localhost:8000"]},
}
NUMBERS = [
    ("worker.shards", 1, 1024),
    ("worker.slots", 1, 16),
    ("worker.batch_size", 1, 256),
    ("worker.lease_ttl_ms", 100, 86_400_000),
    ("worker.poll_interval_ms", 10, 86_400_000),
    ("worker.max_abandoned", 2, 1000),
    ("retry.max_attempts", 1, 1000),
    ("retry.backoff_min_ms", 1, YEAR_MS),
    ("retry.backoff_max_ms", 1, YEAR_MS),
    ("gateway.max_len", 1, 1_000_000_000),
    ("gateway.group_idle_ms", 1, YEAR_MS),
    ("retention.settled_ms", 1, YEAR_MS),
    ("retention.idempotency_ms", 0, YEAR_MS),
    ("retention.dead_ms", 0, YEAR_MS),
    ("retention.dead_max", 0, 1_000_000_000),
    ("limits.max_payload_bytes", 128, 4_194_304),
    ("limits.max_routes", 1, 1000),
    ("rules.cooldown_ms", 0, YEAR_MS),
    ("intake.batch_size", 1, 1000),
    ("intake.claim_idle_ms", 100, 86_400_000),
    ("intake.max_deliveries", 2, 1000),
    ("intake.max_bytes", 1024, 33_554_432),
    ("intake.rejects_max", 1, 1_000_000_000),
    ("limits.past_due_ms", 0, YEAR_MS),
    ("http.port", 0, 65_535),
    ("http.max_body_bytes", 1024, 67_108_864),
    ("http.max_batch", 1, 10_000),
    ("http.max_requests", 1, 10_000),
    ("http.body_ms", 100, 600_000),
    ("http.shutdown_ms", 0, 600_000),
    ("http.jwt_leeway_ms", 0, 300_000),
    ("realtime.history", 1, 300),
    ("realtime.history_ms", 1000, YEAR_MS),
    ("realtime.presence_ttl_ms", 3000, 3_600_000),
    ("realtime.reorder_ms", 1, 60_000),
    ("realtime.buffer_events", 8, 10_000),
    ("realtime.buffer_bytes", 4096, 67_108_864),
    ("realtime.max_age_ms", 1000, 86_400_000),
    ("realtime.ping_ms", 1000, 600_000),
    ("realtime.drain_ms", 0, 600_000),
    ("realtime.max_connections", 1, 1_000_000),
    ("realtime.streams_per_user", 1, 1000),
    ("realtime.connects_per_s", 1, 100_000),
    ("realtime.port", 0, 65_535),
    ("realtime.jwt_leeway_ms", 0, 300_000),
    ("realtime.reclaim_idle_ms", 1000, 3_600_000),
]


def written(path: Path, text: str | bytes) -> str:
    """Write a file and return its name."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def problems(config: str | None, **environ: str) -> list[str]:
    """Return the lines that loading fails with."""
    with pytest.raises(ConfigurationError) as error:
        load_settings(config, environ=environ)
    return str(error.value).splitlines()
