"""Dead letters are moved once, whoever else is at work, and whatever breaks in between."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from galaxy_notify.model.route import Status
from galaxy_notify.operations.dead_letter import DeadFilter
from galaxy_notify.operations.dead_letters import DeadLetterReader
from galaxy_notify.operations.dead_moves import Mover, PurgeAction, ReplayAction, Run
from galaxy_notify.operations.outcome import MoveOutcome
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_state.dead_index import DeadLetterIndex
from galaxy_notify.redis_state.dead_rows import DeadRow
from tests.support.dead_letters import (
    ACTOR,
    DeadLetterFixture,
    beside,
    cli_environment,
    command_line,
    dead_letter_fixture,
    run_cli,
)
from tests.support.servers import Server, main_server, running
from tests.support.wait import wait_until

RUN = Run(ACTOR)
ALL = DeadFilter()


def test_replay__touches_each_once_while_others_die(server: Server) -> None:
    """Ten thousand are replayed once each, though new ones and replayed ones die meanwhile."""
    done = Event()

    def keep_dying(deployment: DeadLetterFixture) -> int:
        born = 0
        with beside(deployment, server) as other:
            while not done.is_set():
                born += len(other.bury(number=10))
        return born

    with dead_letter_fixture(server) as deployment, ThreadPoolExecutor() as pool:
        members = deployment.bury(number=10_000)
        born = pool.submit(keep_dying, deployment)
        try:
            outcome = DeadLetterReader(deployment.connected).replay(ALL, RUN)
        finally:
            done.set()
        born.result()
        assert outcome.moved == outcome.matched == deployment.total("replayed")
        assert outcome.moved >= 10_000
        assert {deployment.route(member).generation for member in members} == {2}
        deployment.assert_conserved()


def test_replay__by_two_operators_moves_each_once(server: Server) -> None:
    """Two replays of everything at the same time share the work, and their counts add up."""

    def replay(deployment: DeadLetterFixture, actor: str) -> MoveOutcome:
        with beside(deployment, server) as own:
            return DeadLetterReader(own.connected).replay(ALL, Run(actor))

    with dead_letter_fixture(server, shards=2) as deployment, ThreadPoolExecutor() as pool:
        members = deployment.bury(number=3000)
        outcomes = list(
            pool.map(replay, [deployment, deployment], ["cli:ann@desk", "cli:bob@desk"])
        )
        assert sum(outcome.moved for outcome in outcomes) == 3000 == deployment.total("replayed")
        assert not any(outcome.failed for outcome in outcomes)
        assert {deployment.route(member).generation for member in members} == {2}
        deployment.assert_conserved()


@pytest.mark.parametrize(("verb", "field"), [("replay", "replayed"), ("purge", "purged")])
def test_move__killed_half_way_is_completed_by_running_it_again(
    server: Server, verb: str, field: str
) -> None:
    """A kill -9 in the middle loses nothing, and the second run moves exactly the rest."""
    with dead_letter_fixture(server) as deployment:
        deployment.bury(number=1000)
        arguments = command_line("dead", verb, "--all", "--yes", "--rate", "100")
        others = _clients(deployment)
        with subprocess.Popen(arguments, env=cli_environment(server)) as process:
            wait_until(lambda: deployment.total(field) >= 60, "some are moved")
            process.send_signal(signal.SIGKILL)
        wait_until(lambda: _clients(deployment) <= others, "what it had sent was run")
        moved = deployment.total(field)
        assert 60 <= moved < 1000
        assert len(deployment.dead()) == 1000 - moved
        deployment.assert_conserved()
        again = run_cli(server, "dead", verb, "--all", "--yes")
        assert f"moved {1000 - moved} of {1000 - moved}" in again.stdout
        assert deployment.total(field) == 1000
        deployment.assert_conserved()


def _clients(deployment: DeadLetterFixture) -> set[str]:
    clients: Any = deployment.client.client_list()
    return {client["id"] for client in clients}


class LostReplies(DeadLetterIndex):
    """An index whose first answers are lost after the script has run; others work meanwhile."""

    lost = 1

    def replay(self, rows: Sequence[DeadRow], actor: str) -> list[str]:
        """Replay, and lose the answer."""
        return self._lose(super().replay(rows, actor))

    def purge(self, rows: Sequence[DeadRow], actor: str) -> list[str]:
        """Purge, and lose the answer."""
        return self._lose(super().purge(rows, actor))

    def _lose(self, words: list[str]) -> list[str]:
        if self.lost:
            self.lost -= 1
            raise RedisFault(Fault("timeout", Remedy.RETRY, "the answer is lost"))
        return words


@pytest.mark.parametrize("action", [ReplayAction, PurgeAction])
def test_move__counts_what_a_lost_answer_did(
    server: Server, action: type[ReplayAction] | type[PurgeAction]
) -> None:
    """What a call did whose answer was lost is found out, not guessed and not done twice."""
    with dead_letter_fixture(server) as deployment:
        members = deployment.bury(number=300)
        index = LostReplies(deployment.connected)
        letters = [found.letter for found in DeadLetterReader(deployment.connected).find(members)]
        # Another operator was faster with some: they are not ours to count.
        DeadLetterReader(deployment.connected).replay(members[:10], Run("cli:bob@desk"))
        run = Run(ACTOR, pause=lambda _: False)
        outcome = Mover(action(index, ACTOR), run).move(letters)
        assert (outcome.matched, outcome.moved, outcome.gone) == (300, 290, 10)
        assert not outcome.failed
        assert deployment.total("replayed") + deployment.total("purged") == 300
        deployment.assert_conserved()


def test_move__says_how_far_it_came_when_redis_goes_away() -> None:
    """The counts up to the fault hold, and of the batch in doubt nothing is claimed."""
    with running(main_server()) as server, dead_letter_fixture(server) as deployment:
        deployment.bury(number=600)
        run = Run(ACTOR, progress=lambda _: server.kill(), pause=lambda _: False)
        outcome = DeadLetterReader(deployment.connected).replay(ALL, run)
        assert outcome.moved == 256
        assert "connection" in outcome.fault


def test_move__stops_when_asked(server: Server) -> None:
    """A stop ends the run between two batches."""
    with dead_letter_fixture(server) as deployment:
        deployment.bury(number=600)
        pauses = iter([False, True])
        outcome = DeadLetterReader(deployment.connected).replay(
            ALL, Run(ACTOR, pause=lambda _: next(pauses))
        )
        assert outcome.stopped
        assert outcome.moved == outcome.matched == 256
        assert len(deployment.dead()) == 344


def test_move__keeps_its_pace(server: Server) -> None:
    """At 50 a second, 20 take as long as 20 do, in steps of a tenth of a second."""
    waited: list[float] = []

    def pause(seconds: float) -> bool:
        waited.append(seconds)
        return False

    with dead_letter_fixture(server) as deployment:
        deployment.bury(number=20)
        outcome = DeadLetterReader(deployment.connected).replay(
            ALL, Run(ACTOR, rate=50, pause=pause)
        )
        assert outcome.moved == 20
        assert sum(waited) == pytest.approx(20 / 50)
        assert max(waited) == pytest.approx(0.1)


def test_move__dry_run_moves_nothing(server: Server) -> None:
    """A dry run counts what would be moved, and leaves all as it is."""
    with dead_letter_fixture(server) as deployment:
        deployment.bury(number=5)
        dry = Run(ACTOR, dry_run=True)
        assert DeadLetterReader(deployment.connected).purge(ALL, dry).moved == 5
        assert DeadLetterReader(deployment.connected).replay(ALL, dry).moved == 5
        assert len(deployment.dead()) == 5


def test_replay__twice_moves_nothing_the_second_time(server: Server) -> None:
    """What was replayed is no dead letter any more."""
    with dead_letter_fixture(server) as deployment:
        members = deployment.bury(number=3)
        letters = DeadLetterReader(deployment.connected)
        assert letters.replay(members, RUN).moved == 3
        second = letters.replay(members, RUN)
        assert (second.matched, second.moved, second.gone) == (3, 0, 3)
        assert deployment.total("replayed") == 3


def test_replay__goes_through_the_generations(server: Server) -> None:
    """Each death and replay adds a generation, and all of them stand in the history."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        for generation in (2, 3):
            DeadLetterReader(deployment.connected).replay([f"{member}#{generation - 1}"], RUN)
            assert deployment.route(member).generation == generation
            assert deployment.die("push", 0) == 1
        route = deployment.route(member)
        assert route.status is Status.DEAD_LETTER
        assert [line.event for line in route.history] == ["dead-lettered", "replayed"] * 2 + [
            "dead-lettered"
        ]
