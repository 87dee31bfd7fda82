"""What a consumer has in hand, and how long other consumers leave it alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import Any

from galaxy_notify.gateway.in_hand import InHand
from galaxy_notify.redis_client.stream_member import Entry


class Member:
    """Redis as it counts deliveries."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    async def retain(self, deliveries: Mapping[str, int]) -> None:
        """Count these deliveries."""
        self.counts |= deliveries


def test_in_hand__is_kept_without_counting_its_delivery() -> None:
    """All that came and has not ended is claimed again, as it was before it came."""
    member: Any = Member()
    in_hand = InHand(member, inf)
    in_hand.add([Entry("1-1", {}, 1), Entry("2-1", {}, 4), Entry("3-1", {}, 1)])
    in_hand.discard(["1-1", "unknown"])
    asyncio.run(in_hand.keep())
    assert member.counts == {"2-1": 3, "3-1": 0}
    assert ("1-1" in in_hand, "2-1" in in_hand) == (False, True)


def test_in_hand__what_was_kept_is_not_late() -> None:
    """The time in hand begins again with each claim."""
    member: Any = Member()
    in_hand = InHand(member, 3600)
    assert in_hand.is_late(-inf)
    asyncio.run(in_hand.keep())
    assert not in_hand.is_late(-inf)
