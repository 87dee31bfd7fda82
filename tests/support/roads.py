"""The roads on which a due route gets into the stream, for tests that have to know theirs.

``script``: one script publishes it, without a lease, or leaves it to the other road. ``leased``: it
is claimed under a lease, encoded and settled. A worker that logs at debug level, or that has an
encoder of its own, takes the leased road whatever its settings say.
"""

from __future__ import annotations

from typing import Final, Literal

import pytest

Road = Literal["script", "leased", "both"]

ROADS: Final[tuple[Road, ...]] = ("script", "leased")

#: Where the fixture `road` gives one road, for what must hold on both.
both_roads = pytest.mark.parametrize("road", ROADS)
#: For what happens to leases, or between a claim and its settle.
leased_road = pytest.mark.parametrize("road", ["leased"])
#: For what has nothing to do with how routes are published: as a daemon does it by itself.
usual_road = pytest.mark.parametrize("road", ["script"])
#: For what is worse if daemons with leases and without share the work.
every_road = pytest.mark.parametrize("road", [*ROADS, "both"])


def road_of(road: Road, number: int) -> Road:
    """Return the road of worker *number*: on both roads, every other has leases."""
    return ROADS[number % 2] if road == "both" else road
