"""Many connections at a time, with Redis killed between them."""

from __future__ import annotations

import pytest

from tests.bench.http_load import measure
from tests.support.servers import main_server, running


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [0, 5000], ids=["quiet", "redis killed"])
def test_load__is_accepted_once_each(kill_at: int) -> None:
    """10,000 requests over 64 connections: no error but 503 while Redis is away, none lost."""
    appendonly = "yes" if kill_at else "no"
    with running(main_server(), appendonly=appendonly) as server:
        told, counted = measure(server, 10_000, 64, kill_at=kill_at)
    assert set(told.statuses) <= ({200, 201, 503} if kill_at else {201})
    assert bool(told.statuses[503]) == bool(kill_at)
    assert counted == told.accepted == 10_000
