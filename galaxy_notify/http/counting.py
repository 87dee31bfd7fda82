"""What the API counts of the intents that it took in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.telemetry import Telemetry

#: Where the recipients choose, or nobody said.
ANY: Final = "any"


def count_accepted(
    telemetry: Telemetry, values: Sequence[Any], receipts: Sequence[Receipt]
) -> None:
    """Count accepted notifications, their routes by channel, repeated and refused ones."""
    statuses: Counter[str] = Counter(receipt.status for receipt in receipts)
    routes: Counter[str] = Counter()
    for value, receipt in zip(values, receipts, strict=True):
        if receipt.error is not None:
            telemetry.refused(receipt.error.code)
        elif receipt.status == "accepted":
            channels = _channels(value)
            # Each channel that is named has a route for each recipient.
            for channel in channels:
                routes[channel] += receipt.routes // len(channels)
    skipped = sum(receipt.skipped for receipt in receipts if receipt.status == "accepted")
    if skipped:
        telemetry.routes("skipped", ANY, skipped)
    if statuses["accepted"] or statuses["duplicate"]:
        telemetry.accepted(statuses["accepted"], routes, statuses["duplicate"])


def _channels(value: Mapping[str, Any]) -> set[str]:
    return set(value.get("channels") or (ANY,))
