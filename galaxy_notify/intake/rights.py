"""Naming the right that is missing where Redis let a producer store nothing."""

from __future__ import annotations

from collections.abc import Sequence

from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.unknown import Unknown
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_state.deployment import Layout
from galaxy_notify.redis_state.permissions import missing_rights
from galaxy_notify.redis_state.roles import Role


def explained(
    layout: Layout, receipts: Sequence[Receipt | Unknown]
) -> Flow[list[Receipt | Unknown]]:
    """Return the receipts; a reason that is a missing right names it, and what would allow it."""
    if not any(_lacks_a_right(one) for one in receipts):
        return list(receipts)
    missing = yield from missing_rights(layout.keys(0), Role.PRODUCER)
    return [_named(one, missing) if missing else one for one in receipts]


def _lacks_a_right(one: Receipt | Unknown) -> bool:
    return isinstance(one, Unknown) and one.fault.fault.code == "NOPERM"


def _named(one: Receipt | Unknown, missing: str) -> Receipt | Unknown:
    if isinstance(one, Unknown) and _lacks_a_right(one):
        return one._replace(reason=f"{one.reason}: {missing}")
    return one
