"""The seed of a test run, from which everything random in the fault tests follows."""

from __future__ import annotations

import os
from random import SystemRandom

VARIABLE = "GN_SEED"


def seed_of_run() -> str:
    """Return the seed; the processes that this one starts have the same."""
    return os.environ.setdefault(VARIABLE, str(SystemRandom().randrange(10**6)))
