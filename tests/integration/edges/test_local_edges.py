"""Edges of a deployment inside a test: the same script, by a clock that the test moves."""

from __future__ import annotations

from galaxy_notify.redis_state.edges import KEPT_MS
from galaxy_notify.testing import deployment


def test_edges__fire_by_the_clock_of_the_deployment() -> None:
    """The cooldown ends, and an edge is forgotten, when time passes by `advance`."""
    with deployment(worker={"shards": 2}) as d:
        assert d.edges.fires("load", 9, at=8, clear=5, cooldown_ms=1000)
        assert not d.edges.fires("load", 5, at=8, clear=5)
        d.advance(ms=999)
        assert not d.edges.fires("load", 9, at=8, clear=5, cooldown_ms=1000)
        assert not d.edges.fires("load", 5, at=8, clear=5)
        d.advance(ms=1)
        assert d.edges.fires("load", 9, at=8, clear=5, cooldown_ms=1000)
        d.advance(ms=KEPT_MS)
        assert not d.edges.fires("load", 9, at=8), "each call keeps it"
        d.advance(ms=KEPT_MS + 1001)
        assert d.edges.fires("load", 9, at=8), "forgotten"
