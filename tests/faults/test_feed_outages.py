"""Row P1: Postgres is away while events come."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.conftest import NewDeliveryRun
from tests.faults.support.feed_away import MOST_RISE, Load, feed_away
from tests.faults.support.postgres_outages import OUTAGES
from tests.support.feeds import migrate
from tests.support.postgres import running_postgres

pytestmark = [pytest.mark.slow, pytest.mark.extended]


@pytest.mark.parametrize("how", OUTAGES)
def test_rowp1__postgres_is_away_under_load(delivery_run: NewDeliveryRun, how: str) -> None:
    """Live delivery is as ever, and every event is a row afterwards."""
    one = delivery_run(users=40, shards=1, max_len=2000)
    with running_postgres() as postgres:
        migrate(postgres)
        away = feed_away(one, postgres, OUTAGES[how], Load(before=1200, away=2400, per_s=300))
        before, meanwhile = asyncio.run(away)
    one.assert_clean()
    assert meanwhile.p50 <= MOST_RISE * before.p50
