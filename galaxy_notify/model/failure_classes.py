"""The classes of failures, by which dead letters are told apart."""

from __future__ import annotations

from typing import Final

#: Every class that a dead letter may have.
FAILURE_CLASSES: Final = (
    "payload_encoding_failed",
    "payload_too_large",
    "gateway_stream_publish_failed",
    "record_missing",
    "record_corrupt",
    "lease_abandoned",
)
