"""What tests of the stage share: one that plays, and a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chromium import Chromium, running_chromium
from tests.support.stages import Stage, running_stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Give a stage that no test ends."""
    with running_stage() as made:
        yield made


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Give a browser."""
    with running_chromium() as made:
        yield made


@pytest.fixture
def profile(chromium: Chromium) -> Iterator[str]:
    """Give a profile of the browser: it has seen nothing."""
    with chromium.profile() as name:
        yield name
