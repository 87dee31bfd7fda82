"""What becomes of a publication."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from galaxy_notify.errors import Invalid
from galaxy_notify.intake.receipts import Refusal


class FeedReceipt(NamedTuple):
    """The result of a publication: it is in the feed, or it was refused.

    ``duplicate``: the feed of this user had the notification before, and it stays as it was.
    ``notification_id`` is None where the publication was refused before it had one.
    """

    notification_id: str | None
    status: Literal["published", "duplicate", "refused"]
    error: Refusal | None = None

    @property
    def is_new(self) -> bool:
        """Whether the notification came into the feed by this call."""
        return self.status == "published"

    def document(self) -> dict[str, Any]:
        """Return the receipt as JSON data."""
        refusal = self.error
        shown = refusal and {
            "code": refusal.code,
            "field": refusal.field,
            "message": refusal.message,
        }
        return {"notification_id": self.notification_id, "status": self.status, "error": shown}


def refused(error: Invalid, notification_id: str | None = None) -> FeedReceipt:
    """Return the receipt of a publication that was refused."""
    refusal = Refusal(error.code, error.field, error.message)
    return FeedReceipt(notification_id, "refused", refusal)
