"""The counts of routes since the deployment began, by outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from galaxy_notify.model.failure_classes import SKIPPED_AT_SEND

#: The totals that are always reported.
TOTALS: Final = (
    *("accepted", "published", "retried", "dead_lettered", "replayed", "purged"),
    *("cancelled", "expired", "skipped", "abandoned", "delivered", "orphaned", "undone"),
)
#: And of the skipped ones, how many by each reason.
SKIPPED: Final = (
    *("skipped:silenced", "skipped:no_channels", "skipped:channel_not_wanted"),
    *("skipped:below_minimum", "skipped:quiet_hours", "skipped:cooldown"),
    *(f"skipped:{reason}" for reason in SKIPPED_AT_SEND),
)


def apart(stored: Mapping[str, int]) -> dict[str, int]:
    """Return stored totals with those delivered apart from those published.

    In Redis ``published`` counts both, so that the sums of an earlier version stay even: it knows
    no other outcome that leaves the deployment.
    """
    delivered = stored.get("delivered", 0)
    if not delivered:
        return dict(stored)
    return {**stored, "published": stored.get("published", 0) - delivered}
