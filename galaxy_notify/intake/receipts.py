"""What a producer is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from galaxy_notify.errors import InvalidIntent, Unavailable
from galaxy_notify.redis_state.faults import UNREADABLE, Remedy, fault_in

#: Why nothing is known where the answer was of no shape that accept answers with.
UNREAD: Final = f"{UNREADABLE}: accept answered what cannot be read"


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


class Unknown(NamedTuple):
    """Stands for the receipt of an intent of which nothing is known, with the reason."""

    reason: str

    def told(self, text: str) -> str:
        """Return a text with the reason behind it, as far as there is one."""
        return f"{text}: {self.reason[:200]}" if self.reason else text


def in_doubt(told: object) -> bool:
    """Tell whether a receipt, or one of several, is unknown because of whom we asked."""
    if isinstance(told, Receipt):
        return False
    found = told if isinstance(told, list) else [told]
    reasons = [one.reason for one in found if isinstance(one, Unknown)]
    return any(fault_in(reason).remedy is Remedy.RESOLVE for reason in reasons)


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


def interrupted(
    receipts: list[Receipt | Unknown], chunk: Sequence[object], rest: Iterator[object], text: str
) -> Unavailable:
    """Return the error that carries the receipts so far, none for what is left."""
    unknown = len(chunk) + sum(1 for _ in rest)
    return Unavailable(text, receipts=[*_as_told(receipts), *[None] * unknown])


def all_known(receipts: list[Receipt | Unknown]) -> list[Receipt]:
    """Return the receipts; raise `Unavailable` where one of them is unknown."""
    known = [receipt for receipt in receipts if isinstance(receipt, Receipt)]
    unknown = [receipt for receipt in receipts if isinstance(receipt, Unknown)]
    if unknown:
        text = unknown[0].told("Redis could not store every notification")
        raise Unavailable(text, receipts=_as_told(receipts))
    return known


def _as_told(receipts: Sequence[Receipt | Unknown]) -> list[Receipt | None]:
    return [receipt if isinstance(receipt, Receipt) else None for receipt in receipts]
