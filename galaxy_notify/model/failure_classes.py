"""The failure classes of dead letters, and why a route that was due is not sent."""

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
    "delivery_failed",
    "delivery_refused",
    "delivery_unknown",
    "address_blocked",
    "endpoint_down",
)
#: A dead letter that may have been sent: a replay has to be told that it may repeat it.
DELIVERY_UNKNOWN: Final = "delivery_unknown"

#: Every reason of a route that was due on an external channel, and was not sent.
SKIPPED_AT_SEND: Final = (
    "no_contact",
    "unsubscribed",
    "endpoint_disabled",
    "read",
    "expires_first",
)
