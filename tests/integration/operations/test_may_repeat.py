"""A dead letter that may have been sent is replayed only by who says that it may be repeated."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from galaxy_notify.model.route import Failure, Status
from galaxy_notify.operations.dead_letter import DeadFilter
from galaxy_notify.operations.dead_letters import DeadLetterReader
from galaxy_notify.operations.dead_moves import Run
from tests.support.dead_letters import (
    ACTOR,
    DeadLetterFixture,
    Kind,
    dead_letter_fixture,
    run_cli,
)
from tests.support.servers import Server

UNKNOWN = Kind(failure=Failure("delivery_unknown", "its worker died"))
REASON = "it may have been sent: only with may-repeat"


@pytest.fixture
def deployment(server: Server) -> Iterator[DeadLetterFixture]:
    with dead_letter_fixture(server) as made:
        yield made


def test_replay__leaves_what_may_have_been_sent(deployment: DeadLetterFixture) -> None:
    """It stays dead, with a reason; what was surely not sent moves."""
    (unsure,), (sure,) = deployment.bury(kind=UNKNOWN), deployment.bury()
    letters = DeadLetterReader(deployment.connected)
    outcome = letters.replay(DeadFilter(), Run(ACTOR))
    assert (outcome.moved, dict(outcome.failed)) == (1, {REASON: 1})
    assert deployment.route(unsure).status is Status.DEAD_LETTER
    assert deployment.route(sure).status is Status.PENDING
    outcome = letters.replay([unsure], Run(ACTOR, may_repeat=True))
    assert (outcome.moved, dict(outcome.failed)) == (1, {})
    assert (deployment.route(unsure).status, deployment.route(unsure).generation) == (
        Status.PENDING,
        2,
    )
    deployment.assert_conserved()


def test_purge__asks_for_nothing_more(deployment: DeadLetterFixture) -> None:
    """To give it up repeats nothing."""
    (unsure,) = deployment.bury(kind=UNKNOWN)
    outcome = DeadLetterReader(deployment.connected).purge([unsure], Run(ACTOR))
    assert outcome.moved == 1


def test_command__says_why_and_how(server: Server, deployment: DeadLetterFixture) -> None:
    """The command counts it as failed, with the option's name, and obeys the option."""
    (unsure,) = deployment.bury(kind=UNKNOWN)
    wanted = ("dead", "replay", "--class", "delivery_unknown", "--yes", "--json")
    done = run_cli(server, *wanted)
    assert done.returncode == 1
    assert REASON in done.stdout
    done = run_cli(server, *wanted, "--may-repeat")
    assert (done.returncode, json.loads(done.stdout)["moved"]) == (0, 1)
    assert deployment.route(unsure).status is Status.PENDING
