"""The results that a producer gets: receipts, and the counts of a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from galaxy_notify.errors import InvalidIntent


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an intent was refused; ``code`` is ``invalid``, ``conflict`` or ``too_large``."""

    code: str
    field: str
    message: str


class Receipt(NamedTuple):
    """What became of an intent; ``routes`` and ``parts`` are 0 where it was refused.

    Of the routes a rule suppressed so many as ``skipped`` says.
    """

    notification_id: str | None
    status: Literal["accepted", "duplicate", "refused"]
    routes: int = 0
    parts: int = 0
    error: Refusal | None = None
    skipped: int = 0

    def as_json(self, line: int) -> dict[str, Any]:
        """Return the receipt as the contract shapes it; ``skipped`` only where a rule did."""
        refusal = self.error
        skipped = {"skipped": self.skipped} if self.skipped else {}
        return {
            "line": line,
            "notification_id": self.notification_id,
            "status": self.status,
            "routes": self.routes,
            "parts": self.parts,
            "error": refusal
            and {"code": refusal.code, "field": refusal.field, "message": refusal.message},
            **skipped,
        }


def refused(error: InvalidIntent, notification_id: str | None = None) -> Receipt:
    """Return the receipt of an intent that was refused."""
    refusal = Refusal(error.code, error.field, error.message)
    return Receipt(notification_id, "refused", error=refusal)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What a cancel did: routes taken back (earlier ones included), and routes too late for it."""

    cancelled: int
    too_late: int
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """What a reschedule did: routes due at the new time, and routes too late for it."""

    moved: int
    too_late: int
    unknown: bool = False
