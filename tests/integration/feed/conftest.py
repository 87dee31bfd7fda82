"""Databases that have the schema of the feed."""

from __future__ import annotations

import pytest

from tests.support.feeds import migrate
from tests.support.postgres import Postgres


@pytest.fixture
def database(postgres: Postgres) -> Postgres:
    """Give an empty feed."""
    migrate(postgres)
    return postgres
