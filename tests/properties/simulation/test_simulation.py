"""Many schedules of several workers, each with its own faults, decided by a seed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest
import redis

from tests.properties.model.support.mutations import MUTATIONS, mutant
from tests.properties.simulation.support.search import first_broken, told
from tests.properties.simulation.support.simulation import simulate
from tests.support.servers import Server
from tests.support.suite import examples

_DEFECTS = (
    "accepted twice",
    "open not counted down",
    "settled without the fence",
)


@pytest.fixture
def client(server: Server, caplog: pytest.LogCaptureFixture) -> Iterator[redis.Redis]:
    """Give a connection to the server of all schedules; their workers keep quiet."""
    caplog.set_level(logging.CRITICAL, "galaxy_notify")
    with server.client() as found:
        yield found


def test_seed__gives_the_same_schedule_again(client: redis.Redis) -> None:
    """What happens, and when, is decided by the seed alone."""
    for seed in (3, 14, 15):
        first, again = simulate(client, seed), simulate(client, seed)
        assert first == again
        assert first.calls > 50
        assert any(not line.endswith(": ok") for line in first.trace)


@pytest.mark.parametrize("first", range(0, examples(100, 500), 50))
def test_schedules__keep_every_promise(first: int, client: redis.Redis) -> None:
    """Nothing is lost, doubled, early, blocked or paid for by the wrong one."""
    found = first_broken(client, range(first, first + 50))
    assert found is None, told(found)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_schedules__keep_every_promise_for_long(client: redis.Redis) -> None:
    """Other seeds each time; a failure prints its own."""
    base = time.time_ns()
    found = first_broken(client, range(base, base + 5_000))
    assert found is None, told(found)


@pytest.mark.extended
@pytest.mark.parametrize("name", _DEFECTS)
def test_schedules__notice_a_defect(name: str, client: redis.Redis) -> None:
    """A defect planted in a script breaks a promise within few schedules."""
    found = first_broken(client, range(60), mutant(MUTATIONS[name]))
    assert found is not None
    assert f"seed {found.seed}" in told(found)
