"""The failure classes of dead letters."""

from __future__ import annotations

from typing import Final

#: Every failure class of a dead letter.
FAILURE_CLASSES: Final = (
    "payload_encoding_failed",
    "payload_too_large",
    "gateway_stream_publish_failed",
    "record_missing",
    "record_corrupt",
    "lease_abandoned",
)
