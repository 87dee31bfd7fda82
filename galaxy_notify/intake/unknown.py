"""What stands for a receipt that is not known, and the errors that carry receipts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import CallFailed
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.source import Source
from galaxy_notify.redis_client.failed_calls import failed_call, told_fault
from galaxy_notify.redis_client.faults import UNREADABLE, RedisFault, Remedy

#: Why nothing is known where the answer was of no shape that accept answers with.
UNREAD: Final = f"{UNREADABLE}: accept answered what cannot be read"
_LONGEST_REASON: Final = 1000


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


def interrupted(
    receipts: Sequence[Receipt | Unknown],
    chunk: Sequence[object],
    source: Source[Any],
    fault: RedisFault,
) -> CallFailed:
    """Return the error that carries the receipts so far, none for what is left."""
    tried = Unknown(str(fault), refused=fault.wrote_nothing)
    unsent = Unknown("", refused=True)
    left = [*[tried] * len(chunk), *[unsent] * source.left()]
    return _failed([*receipts, *left], fault, _with(source.trouble, str(fault)))


def known(receipt: Receipt | Unknown, notification_id: str, server: str) -> Receipt:
    """Return the receipt; raise a `CallFailed` where it is unknown."""
    if isinstance(receipt, Unknown):
        text = receipt.told(f"Redis at {server} could not store the notification")
        raise failed_call(receipt.fault, text, notification_id)
    return receipt


def all_known(receipts: list[Receipt | Unknown], server: str, source: Source[Any]) -> list[Receipt]:
    """Return the receipts; raise a `CallFailed` where one of them is unknown."""
    found = [receipt for receipt in receipts if isinstance(receipt, Receipt)]
    unknown = [receipt for receipt in receipts if isinstance(receipt, Unknown)]
    if unknown:
        # The first of which nothing is known tells more than one that was refused.
        first = min(unknown, key=lambda one: one.refused)
        text = first.told(f"Redis at {server} could not store every notification")
        raise _failed(receipts, first.fault, _with(source.trouble, text))
    return found


def _with(trouble: str, text: str) -> str:
    return f"{text}; {trouble}" if trouble else text


def _failed(receipts: Sequence[Receipt | Unknown], fault: RedisFault, text: str) -> CallFailed:
    unknown = {place: one for place, one in enumerate(receipts) if isinstance(one, Unknown)}
    not_written = [place for place, one in unknown.items() if one.refused]
    if len(not_written) < len(unknown):
        fault = fault.doubted()
    told = _as_told(receipts)
    return failed_call(fault, text, receipts=told, not_written=not_written)


def _as_told(receipts: Sequence[Receipt | Unknown]) -> list[Receipt | None]:
    return [receipt if isinstance(receipt, Receipt) else None for receipt in receipts]
