"""What stands for a receipt that is not known, and the errors that carry receipts."""

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
    """Stands for the receipt of an intent that was not accepted as far as is known.

    *refused* says that surely nothing of it was written.
    """

    reason: str
    refused: bool = False

    @property
    def fault(self) -> RedisFault:
        """Return what the reason tells of."""
        return answer_fault(self.reason, wrote_nothing=self.refused)

    def told(self, text: str) -> str:
        """Return a text with the reason behind it, as far as there is one."""
        return f"{text}: {self.reason[:_LONGEST_REASON]}" if self.reason else text


def with_missing_rights(
    key_space: KeySpace, receipts: Sequence[Receipt | Unknown]
) -> Flow[list[Receipt | Unknown]]:
    """Return the receipts; a reason that is a missing right names it, and what would allow it."""
    if not any(_lacks_a_right(one) for one in receipts):
        return list(receipts)
    missing = yield from missing_rights(key_space.keys(0), Role.PRODUCER)
    return [
        one._replace(reason=f"{one.reason}: {missing}")
        if missing and isinstance(one, Unknown) and _lacks_a_right(one)
        else one
        for one in receipts
    ]


def in_doubt(receipts: Sequence[Receipt | Unknown]) -> bool:
    """Tell whether a receipt is unknown because of the server that was asked."""
    return any(
        isinstance(one, Unknown) and one.fault.fault.remedy is Remedy.RESOLVE for one in receipts
    )


def interrupted(
    receipts: Sequence[Receipt | Unknown],
    chunk: Sequence[object],
    source: IntentSource[Any],
    fault: RedisFault,
) -> CallFailed:
    """Return the error that carries the receipts so far, none for what is left."""
    tried = Unknown(str(fault), refused=fault.wrote_nothing)
    unsent = Unknown("", refused=True)
    left = [*[tried] * len(chunk), *[unsent] * source.left()]
    return _failed([*receipts, *left], fault, _with(source.trouble, str(fault)))


def failure_of(one: Unknown, notification_id: str, server: str) -> CallFailed:
    """Return the error in place of the receipt of one intent."""
    text = one.told(f"Redis at {server} could not store the notification")
    return failed_call(one.fault, text, notification_id)


def all_known(
    receipts: list[Receipt | Unknown], server: str, source: IntentSource[Any]
) -> list[Receipt]:
    """Return the receipts; raise a `CallFailed` where one of them is unknown."""
    found = [receipt for receipt in receipts if isinstance(receipt, Receipt)]
    unknown = [receipt for receipt in receipts if isinstance(receipt, Unknown)]
    if unknown:
        # The first of which nothing is known tells more than one that was refused.
        first = min(unknown, key=lambda one: one.refused)
        text = first.told(f"Redis at {server} could not store every notification")
        raise _failed(receipts, first.fault, _with(source.trouble, text))
    return found


def _lacks_a_right(one: Receipt | Unknown) -> bool:
    return isinstance(one, Unknown) and one.fault.fault.code == "NOPERM"


def _with(trouble: str, text: str) -> str:
    return f"{text}; {trouble}" if trouble else text


def _failed(receipts: Sequence[Receipt | Unknown], fault: RedisFault, text: str) -> CallFailed:
    unknown = {place: one for place, one in enumerate(receipts) if isinstance(one, Unknown)}
    not_written = [place for place, one in unknown.items() if one.refused]
    if len(not_written) < len(unknown):
        fault = fault.with_unknown_outcome()
    told = _as_told(receipts)
    return failed_call(fault, text, receipts=told, not_written=not_written)


def _as_told(receipts: Sequence[Receipt | Unknown]) -> list[Receipt | None]:
    return [receipt if isinstance(receipt, Receipt) else None for receipt in receipts]
