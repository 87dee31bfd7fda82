"""The results that a producer gets: receipts, and the counts of a change."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from galaxy_notify.errors import InvalidIntent


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an intent was refused; ``code`` is ``invalid``, ``conflict`` or ``too_large``."""

    code: str
    field: str
    message: str


class Receipt(NamedTuple):
    """The result of an intent; ``routes`` and ``parts`` are 0 if it was refused.

    ``skipped`` of the routes are skipped by a rule.
    """

    notification_id: str | None
    status: Literal["accepted", "duplicate", "refused"]
    routes: int = 0
    parts: int = 0
    error: Refusal | None = None
    skipped: int = 0

    def as_json(self, line: int) -> dict[str, Any]:
        """Return the receipt as a JSON object; it has ``skipped`` only if a rule skipped routes."""
        skipped = {"skipped": self.skipped} if self.skipped else {}
        return {
            "line": line,
            "notification_id": self.notification_id,
            "status": self.status,
            "routes": self.routes,
            "parts": self.parts,
            "error": self.error and asdict(self.error),
            **skipped,
        }


def refused(error: InvalidIntent, notification_id: str | None = None) -> Receipt:
    """Return the receipt of an intent that was refused."""
    refusal = Refusal(error.code, error.field, error.message)
    return Receipt(notification_id, "refused", error=refusal)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The result of a cancel: cancelled routes, including earlier ones, and those too late."""

    cancelled: int
    too_late: int
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """The result of a reschedule: routes due at the new time, and those too late."""

    moved: int
    too_late: int
    unknown: bool = False
