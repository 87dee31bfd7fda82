"""How many items are cut into parts."""

from __future__ import annotations

from galaxy_notify.live.parts import PartLimits, cut


def test_cut__bounds_number_and_bytes_in_order() -> None:
    """No part is longer or larger than the limits, except for a single large item."""
    sizes = [10] * 300 + [500] * 3 + [3000] + [10]
    parts = list(cut(sizes, PartLimits(64, 1000), lambda size: size))
    assert [size for part in parts for size in part] == sizes
    assert all(len(part) <= 64 for part in parts)
    assert [part for part in parts if sum(part) > 1000] == [[3000]]
    assert list(cut([], PartLimits(1, 1), len)) == []
