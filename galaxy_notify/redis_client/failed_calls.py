"""The error of a failed call: outcome unknown, refused for now, or refused for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from galaxy_notify.errors import CallFailed, Misconfigured, ServerRefused, Unavailable
from galaxy_notify.redis_client.faults import BUSY, Fault, RedisFault, fault_in


def failed_call(
    fault: RedisFault,
    text: str = "",
    notification_id: str | None = None,
    *,
    receipts: Sequence[Any] = (),
    not_written: Sequence[int] = (),
) -> CallFailed:
    """Return the error for a fault: `Unavailable`, `ServerRefused` or `Misconfigured`.

    *text* replaces the fault's own text.
    """
    message = text or str(fault)
    kind: type[CallFailed] = Unavailable
    if fault.fault.is_permanent:
        kind, message = Misconfigured, f"redis refuses: {message}"
    elif fault.wrote_nothing and fault.fault.code != BUSY:
        kind, message = ServerRefused, f"redis refused the call, nothing was written: {message}"
    code = fault.fault.code
    error = kind(message, notification_id, receipts, code=code, not_written=not_written)
    error.__cause__ = fault
    return error


def refuse_permanent(fault: Fault) -> None:
    """Raise `Misconfigured` for a fault that is no outage: for the start of a process."""
    if fault.is_permanent:
        raise failed_call(RedisFault(fault))


def answer_fault(reason: str, *, wrote_nothing: bool) -> RedisFault:
    """Return the fault in the text of a script's answer."""
    return RedisFault(fault_in(reason), outcome_unknown=not wrote_nothing)
