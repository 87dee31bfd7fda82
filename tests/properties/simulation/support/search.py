"""Looks for a seed whose schedule breaks a promise, and for the least that breaks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import redis

from galaxy_notify.redis_client.scripts import Script
from tests.properties.simulation.support.simulation import Schedule, simulate

_LAST = 15


def first_broken(
    client: redis.Redis, seeds: Iterable[int], mutants: Mapping[str, Script] | None = None
) -> Schedule | None:
    """Return the first schedule that breaks a promise, with as few faults as it needs."""
    for seed in seeds:
        found = simulate(client, seed, mutants=mutants)
        if found.fault:
            return _shortened(client, found, mutants)
    return None


def _shortened(
    client: redis.Redis, found: Schedule, mutants: Mapping[str, Script] | None
) -> Schedule:
    """Let calls fail only as long as it takes."""
    low, high = 0, found.calls
    while low < high:
        middle = (low + high) // 2
        tried = simulate(client, found.seed, until=middle, mutants=mutants)
        if tried.fault:
            found, high = tried, middle
        else:
            low = middle + 1
    return found


def told(schedule: Schedule) -> str:
    """Say which seed it was, what failed in it, and how it ended."""
    faults = [line for line in schedule.trace if not line.endswith(": ok")]
    lines = [f"seed {schedule.seed}: {schedule.fault}", "faults:", *faults]
    return "\n".join([*lines, "the last calls:", *schedule.trace[-_LAST:]])
