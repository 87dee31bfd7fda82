"""The scripts against a plain model of a shard, and the model's own worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.model.support.machine import ShardMachine
from tests.properties.model.support.mutations import MUTATIONS, Mutation, mutant
from tests.properties.model.support.workers import machine_on
from tests.support.servers import Server
from tests.support.suite import examples

#: Found within few steps; the others are looked for by the long run.
_SOON = (
    "a settled route that stays scheduled",
    "accepted twice",
    "cancel of what has changed",
    "claimed before its time",
    "given again, and more",
    "moved and still leased",
    "nobody told of more",
    "open not counted down",
    "published without the fence",
    "unleased beside a lease that has expired",
    "unleased though abandoned",
    "unleased and still scheduled",
)


def _run(machine: type[ShardMachine], number: int, *, quick: bool, **options: Any) -> None:
    """Run examples: the same each time where it is to be *quick*, others each time else."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=number,
            stateful_step_count=50,
            derandomize=quick,
            database=None,
            suppress_health_check=list(HealthCheck),
            **options,
        ),
    )


@pytest.fixture
def fake() -> Callable[[], redis.Redis]:
    """Give connections to an imitation of a server, in this process."""
    server = fakeredis.FakeServer(version=(7,))
    return lambda: fakeredis.FakeRedis(server=server)


@pytest.fixture
def client_of(any_server: Server) -> Iterator[Callable[[], redis.Redis]]:
    """Give connections to a server of each flavour."""
    yield any_server.client
    any_server.flush()


def test_model__agrees_with_every_server(client_of: Callable[[], redis.Redis]) -> None:
    """Whatever happens, the shard holds what the model holds."""
    _run(machine_on(client_of), examples(15, 60), quick=True)


# Where an imitation will do: docs/decisions/0013-fakeredis-for-quick-tests-only.md
def test_model__agrees_with_an_imitation(fake: Callable[[], redis.Redis]) -> None:
    """Every script runs where nothing but the language and the commands are there."""
    _run(machine_on(fake), examples(8, 30), quick=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_model__agrees_for_long(client_of: Callable[[], redis.Redis]) -> None:
    """Other examples each time; a failure prints the shortest one that fails."""
    _run(machine_on(client_of), 3_000, quick=False)


def _notices(server: Server, mutation: Mutation, number: int) -> bool:
    machine = machine_on(server.client, mutant(mutation))
    try:
        _run(machine, number, quick=True, phases=[Phase.generate])
    except Exception:  # the model may disagree, or a script be unable to go on
        return True
    return False


@pytest.mark.extended
@pytest.mark.parametrize("name", _SOON)
def test_model__notices_a_defect(name: str, server: Server) -> None:
    """A defect planted in a script makes a short run fail.

    It ends with the first example that shows it; some are drawn a few hundred times before.
    """
    assert _notices(server, MUTATIONS[name], 3_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(MUTATIONS.keys() - set(_SOON)))
def test_model__notices_every_defect(name: str, server: Server) -> None:
    """So does every other that somebody thought of."""
    assert _notices(server, MUTATIONS[name], 600)
