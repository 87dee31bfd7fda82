"""What one recipient is asked to get, what is stored of the wishes, and what is decided by them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from galaxy_notify.model.decision import ChannelDecision
from galaxy_notify.model.preference import (
    DeliveryRequest,
    PreferenceFields,
    judge,
)

KNOWN = ("email", "push", "web", "in_app")
NIGHT = json.dumps({"from": "22:00", "to": "07:00", "zone": "UTC"}).encode()
EVENING, MORNING = (
    int(datetime.fromisoformat(f"2026-11-{text}+00:00").timestamp() * 1000)
    for text in ("20T23:00", "21T07:00")
)


def asked(*channels: str, severity: str = "info", **other: Any) -> DeliveryRequest:
    """Return what an intent asks for; without channels it names none."""
    return DeliveryRequest(channels or ("push",), bool(channels), severity, KNOWN, **other)


def raw(**fields: Any) -> bytes:
    """Return a preference as it is stored."""
    return json.dumps(fields).encode()


def told(verdict: ChannelDecision) -> list[str]:
    """Return the channels that deliver."""
    return [delivery.channel for delivery in verdict.deliveries]


def why(verdict: ChannelDecision) -> dict[str, str]:
    """Return the channels that are skipped, with the reason."""
    return {skip.channel: skip.reason.value for skip in verdict.skips}


def judged(
    question: DeliveryRequest, stored: PreferenceFields, expires_at_ms: int | None = None
) -> ChannelDecision:
    """Judge what is due in the evening."""
    return judge(question, stored, EVENING, expires_at_ms)
