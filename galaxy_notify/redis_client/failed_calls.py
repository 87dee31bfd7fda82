"""What a program is told of a call that failed: unknown, refused just now, or refused for good."""

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
    """Return the error for a fault: three kinds that ask for three different things.

    *text* stands for what the fault says itself.
    """
    told = text or str(fault)
    kind: type[CallFailed] = Unavailable
    if fault.fault.is_permanent:
        kind, told = Misconfigured, f"redis refuses the call: {told}"
    elif fault.wrote_nothing and fault.fault.code != BUSY:
        kind, told = ServerRefused, f"redis refused the call, nothing was written: {told}"
    code = fault.fault.code
    error = kind(told, notification_id, receipts, code=code, not_written=not_written)
    error.__cause__ = fault
    return error


def refuse_permanent(fault: Fault) -> None:
    """Raise `Misconfigured` for a fault that is no outage: for the start of a process."""
    if fault.is_permanent:
        raise failed_call(RedisFault(fault))


def told_fault(reason: str, *, wrote_nothing: bool) -> RedisFault:
    """Return the fault that the text of an answer tells of."""
    return RedisFault(fault_in(reason), doubtful=not wrote_nothing)
