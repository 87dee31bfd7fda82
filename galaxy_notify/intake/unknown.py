"""Outcomes that are unknown, and the errors that carry receipts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import CallFailed
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.source import IntentSource
from galaxy_notify.redis_client.failed_calls import answer_fault, failed_call
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_state.permissions import missing_rights
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.shared_settings import KeySpace

_LONGEST_REASON: Final = 1000


class Unknown(NamedTuple):
    """In place of a receipt: an intent that is not known to be accepted.

    *refused*: certainly nothing of it was written.
    """

    reason: str
    refused: bool = False

    @property
    def fault(self) -> RedisFault:
        """The fault in the reason."""
        return answer_fault(self.reason, wrote_nothing=self.refused)

    def with_reason(self, message: str) -> str:
        """Return *message*, followed by the reason if there is one."""
        return f"{message}: {self.reason[:_LONGEST_REASON]}" if self.reason else message


def with_missing_rights(
    key_space: KeySpace, receipts: Sequence[Receipt | Unknown]
) -> Flow[list[Receipt | Unknown]]:
    """Return the receipts; a reason that is a missing permission names it and its ACL rule."""
    if not any(_lacks_a_right(receipt) for receipt in receipts):
        return list(receipts)
    missing = yield from missing_rights(key_space.keys(0), Role.PRODUCER)
    return [
        receipt._replace(reason=f"{receipt.reason}: {missing}")
        if missing and isinstance(receipt, Unknown) and _lacks_a_right(receipt)
        else receipt
        for receipt in receipts
    ]


def needs_refresh(receipts: Sequence[Receipt | Unknown]) -> bool:
    """Return whether an outcome is unknown because the server may not be the primary."""
    return any(
        isinstance(receipt, Unknown) and receipt.fault.fault.remedy is Remedy.RESOLVE
        for receipt in receipts
    )


def interruption(
    receipts: Sequence[Receipt | Unknown],
    chunk: Sequence[object],
    source: IntentSource[Any],
    fault: RedisFault,
) -> CallFailed:
    """Return the error that carries the receipts so far, and None for the remaining intents."""
    interrupted_item = Unknown(str(fault), refused=fault.wrote_nothing)
    unsent = Unknown("", refused=True)
    left = [*[interrupted_item] * len(chunk), *[unsent] * source.skip_rest()]
    return _failed([*receipts, *left], fault, str(fault), source)


def failure_of(receipt: Unknown, notification_id: str, server: str) -> CallFailed:
    """Return the error for one intent without a receipt."""
    message = receipt.with_reason(f"Redis at {server} could not store the notification")
    return failed_call(receipt.fault, message, notification_id)


def all_known(
    receipts: list[Receipt | Unknown], server: str, source: IntentSource[Any]
) -> list[Receipt]:
    """Return the receipts; raise `CallFailed` if one of them is unknown."""
    known = [receipt for receipt in receipts if isinstance(receipt, Receipt)]
    unknown = [receipt for receipt in receipts if isinstance(receipt, Unknown)]
    if unknown:
        # An unknown outcome matters more than a refusal.
        first = min(unknown, key=lambda receipt: receipt.refused)
        message = first.with_reason(f"Redis at {server} could not store every notification")
        raise _failed(receipts, first.fault, message, source)
    return known


def _lacks_a_right(receipt: Receipt | Unknown) -> bool:
    return isinstance(receipt, Unknown) and receipt.fault.fault.code == "NOPERM"


def _failed(
    receipts: Sequence[Receipt | Unknown], fault: RedisFault, text: str, source: IntentSource[Any]
) -> CallFailed:
    message = f"{text}; {source.failure_text}" if source.failure_text else text
    unknown = {
        place: receipt for place, receipt in enumerate(receipts) if isinstance(receipt, Unknown)
    }
    not_written = [place for place, receipt in unknown.items() if receipt.refused]
    if len(not_written) < len(unknown):
        fault = fault.with_unknown_outcome()
    known = [receipt if isinstance(receipt, Receipt) else None for receipt in receipts]
    return failed_call(fault, message, receipts=known, not_written=not_written)
