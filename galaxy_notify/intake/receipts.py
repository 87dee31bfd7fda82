"""What a producer is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from galaxy_notify.errors import CallFailed, InvalidIntent
from galaxy_notify.redis_state.failed_calls import failed_call, told_fault
from galaxy_notify.redis_state.faults import UNREADABLE, RedisFault, Remedy

#: Why nothing is known where the answer was of no shape that accept answers with.
UNREAD: Final = f"{UNREADABLE}: accept answered what cannot be read"
_LONGEST_REASON: Final = 1000


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
    """Stands for the receipt of an intent that was not accepted as far as is known.

    *refused* says that surely nothing of it was written.
    """

    reason: str
    refused: bool = False

    @property
    def fault(self) -> RedisFault:
        """Return what the reason tells of."""
        return told_fault(self.reason, wrote_nothing=self.refused)

    def told(self, text: str) -> str:
        """Return a text with the reason behind it, as far as there is one."""
        return f"{text}: {self.reason[:_LONGEST_REASON]}" if self.reason else text


def in_doubt(told: object) -> bool:
    """Tell whether a receipt, or one of several, is unknown because of whom we asked."""
    if isinstance(told, Receipt):
        return False
    found = told if isinstance(told, list) else [told]
    unknown = (one for one in found if isinstance(one, Unknown))
    return any(one.fault.fault.remedy is Remedy.RESOLVE for one in unknown)


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
    receipts: Sequence[Receipt | Unknown],
    chunk: Sequence[object],
    rest: Iterator[object],
    fault: RedisFault,
) -> CallFailed:
    """Return the error that carries the receipts so far, none for what is left."""
    tried = Unknown(str(fault), refused=fault.wrote_nothing)
    unsent = Unknown("", refused=True)
    left = [*[tried] * len(chunk), *(unsent for _ in rest)]
    return _failed([*receipts, *left], fault, str(fault))


def all_known(receipts: list[Receipt | Unknown], server: str) -> list[Receipt]:
    """Return the receipts; raise a `CallFailed` where one of them is unknown."""
    known = [receipt for receipt in receipts if isinstance(receipt, Receipt)]
    unknown = [receipt for receipt in receipts if isinstance(receipt, Unknown)]
    if unknown:
        # The first of which nothing is known tells more than one that was refused.
        first = min(unknown, key=lambda one: one.refused)
        text = first.told(f"Redis at {server} could not store every notification")
        raise _failed(receipts, first.fault, text)
    return known


def _failed(receipts: Sequence[Receipt | Unknown], fault: RedisFault, text: str) -> CallFailed:
    unknown = {place: one for place, one in enumerate(receipts) if isinstance(one, Unknown)}
    not_written = [place for place, one in unknown.items() if one.refused]
    if len(not_written) < len(unknown):
        fault = fault.doubted()
    told = _as_told(receipts)
    return failed_call(fault, text, receipts=told, not_written=not_written)


def _as_told(receipts: Sequence[Receipt | Unknown]) -> list[Receipt | None]:
    return [receipt if isinstance(receipt, Receipt) else None for receipt in receipts]
