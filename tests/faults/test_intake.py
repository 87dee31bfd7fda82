"""Readers of the intent stream that are killed, wherever they are: each intent is taken in once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from galaxy_notify.model.ids import id_for_key
from tests.support.command import command_for
from tests.support.daemons import DaemonProcess, supervisor
from tests.support.deployment import DeploymentFixture
from tests.support.intake import GROUP, KEYS, QUICK, hand_in, intake_on, intent, left, rejects
from tests.support.proxy import proxied
from tests.support.servers import Server
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended

STEPS = ("after_read", "before_admit", "after_admit")
REJECTING = ("before_refuse", "after_refuse")
_POISON = intent(0, type="failpoint.poison")


@pytest.fixture
def deployment(server: Server) -> Iterator[DeploymentFixture]:
    """Give a deployment; its state is sound at the end."""
    made = DeploymentFixture(server.url)
    yield made
    made.assert_sound()
    made.close()


def _died(process: DaemonProcess) -> None:
    wait_until(lambda: process.process.poll() is not None, "it has died")
    assert process.process.returncode == -signal.SIGKILL


def _read_to_the_end(server: Server, deployment: DeploymentFixture, failpoints: str = "") -> None:
    with intake_on(server, failpoints, **QUICK):
        wait_until(lambda: not left(deployment.client), "all is taken in")


def _assert_each_once(deployment: DeploymentFixture, ids: list[str]) -> None:
    assert {member.partition("/")[0] for member in deployment.routes()} == {
        id_for_key("p", one) for one in ids
    }
    assert deployment.total("accepted") == len(ids)


@pytest.mark.parametrize("place", STEPS)
def test_row67__reader_killed_at_every_step(
    server: Server, deployment: DeploymentFixture, place: str
) -> None:
    """Wherever between read and acknowledgement it dies, each intent is one notification."""
    with intake_on(server, f"{place}:kill", **QUICK) as doomed:
        ids = hand_in(deployment.client, *(intent(n) for n in range(20)))
        _died(doomed)
    _read_to_the_end(server, deployment)
    _assert_each_once(deployment, ids)


@pytest.mark.parametrize("place", REJECTING)
def test_row67__reader_killed_while_it_rejects(
    server: Server, deployment: DeploymentFixture, place: str
) -> None:
    """A reject is there once, whether its reader died before or after, and its neighbour is in."""
    ids = hand_in(deployment.client, "{", intent(1))
    with intake_on(server, f"{place}:kill", **QUICK) as doomed:
        _died(doomed)
    _read_to_the_end(server, deployment)
    assert [one["entry_id"] for one in rejects(deployment.client)] == [ids[0].encode()]
    _assert_each_once(deployment, ids[1:])


def test_row68__poison_is_parked_and_its_neighbours_are_on_time(
    server: Server, deployment: DeploymentFixture
) -> None:
    """An intent that kills every reader is rejected after its tries; the others are accepted."""
    given = QUICK | {"intake__max_deliveries": 3}
    ids = hand_in(deployment.client, intent(1), intent(2), _POISON, intent(3), intent(4))
    deaths = 0
    with intake_on(server, "poison:kill", **given) as reader:
        while not rejects(deployment.client):
            if reader.process.poll() is not None:
                deaths += 1
                reader.start()
        wait_until(lambda: not left(deployment.client), "all others are taken in")
        late = hand_in(deployment.client, intent(5))
        wait_until(lambda: not left(deployment.client), "what comes later is taken in")
    (reject,) = rejects(deployment.client)
    assert (reject["code"], reject["entry_id"]) == (b"abandoned", ids[2].encode())
    assert reject["intent"] == _POISON.encode()
    assert deaths <= 3
    _assert_each_once(deployment, [one for one in ids if one != ids[2]] + late)


def test_row68__poison_that_was_accepted_is_the_same_when_replayed(
    server: Server, deployment: DeploymentFixture
) -> None:
    """A reader that dies after each accept has accepted; replayed, it is one notification."""
    given = QUICK | {"intake__max_deliveries": 2}
    (one,) = hand_in(deployment.client, intent(1))
    with intake_on(server, "before_admit:kill", **given) as doomed:
        _died(doomed)
        doomed.start()
        _died(doomed)
    with intake_on(server, **given):
        wait_until(lambda: rejects(deployment.client), "it is parked")
        _replay_all(server)
        wait_until(lambda: not left(deployment.client), "it is taken in")
    _assert_each_once(deployment, [one])


def _replay_all(server: Server) -> None:
    done = command_for(server).run("intake", "rejects", "replay", "--all")
    assert done.stdout == "moved 1 of 1: in the stream again\n"


@pytest.mark.parametrize("lost", ["intent_accept", "intake_ack", "intake_reject"])
def test_row69__lost_reply_costs_nothing(
    server: Server, deployment: DeploymentFixture, lost: str
) -> None:
    """Whichever answer the network swallows, the reader goes on, and takes each in once."""
    deployment.load_scripts()
    ids = hand_in(deployment.client, "{", *(intent(n) for n in range(10)))
    with proxied(server.socket) as proxy:
        proxy.lose_reply(lost)
        variables = {"GALAXY_NOTIFY_REDIS__URL": proxy.url}
        with intake_on(server, variables=variables, **QUICK):
            wait_until(lambda: proxy.lost and not left(deployment.client), "all is taken in")
    assert len(rejects(deployment.client)) == 1
    _assert_each_once(deployment, ids[1:])


def test_row69__reader_ends_by_signals_in_an_outage(
    server: Server, deployment: DeploymentFixture
) -> None:
    """It drains and ends with 0 in time, idle as well as during an outage."""
    with intake_on(server, **QUICK) as reader:
        reader.wait_for("intake working")
        reader.signal(signal.SIGTERM)
        assert reader.ended() == 0
        reader.start()
        wait_until(lambda: len(reader.lines("intake working")) == 2, "it works again")
    variables = {"GALAXY_NOTIFY_REDIS__URL": "redis://127.0.0.1:1/0"}
    with intake_on(server, variables=variables) as reader:
        reader.wait_for("redis unavailable")
        reader.signal(signal.SIGINT)
        assert reader.ended() == 0


def test_reader__tells_its_supervisor(server: Server, deployment: DeploymentFixture) -> None:
    """It is ready at once, feeds the watchdog also while it waits, and says that it ends."""
    with supervisor() as listening:
        variables = {"NOTIFY_SOCKET": listening.address}
        with intake_on(server, variables=variables) as reader:
            wait_until(lambda: "READY=1" in listening.heard, "it is ready")
            wait_until(lambda: "STATUS=reading gn:intents" in listening.heard, "it reads")
            reader.wait_for("intake working")
            deployment.client.delete(KEYS.stream)
            deployment.client.set(KEYS.stream, "foreign")
            reader.wait_for("redis unavailable")
            fed = listening.heard.count("WATCHDOG=1")
            wait_until(lambda: listening.heard.count("WATCHDOG=1") > fed + 1, "it feeds")
            deployment.client.delete(KEYS.stream)
            reader.signal(signal.SIGTERM)
            assert reader.ended() == 0
            wait_until(lambda: "STOPPING=1" in listening.heard, "it says that it ends")


def test_daemon__reads_the_stream_beside_its_work(
    server: Server, deployment: DeploymentFixture
) -> None:
    """With the setting a daemon takes intents in, and publishes them; without its key, too."""
    with intake_on(server, command="run", intake__enabled=True, **QUICK) as daemon:
        hand_in(deployment.client, intent(1))
        wait_until(lambda: len(deployment.entries()) == 1, "it is published")
        deployment.client.delete(KEYS.stream)
        deployment.client.set(KEYS.stream, "foreign")
        wait_until(lambda: daemon.lines("redis unavailable"), "it cannot read")
        deployment.notify("u2")
        wait_until(lambda: len(deployment.entries()) == 2, "publishing goes on")
        deployment.client.delete(KEYS.stream)
        hand_in(deployment.client, intent(3))
        wait_until(lambda: len(deployment.entries()) == 3, "reading goes on")
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0


def _wait_for_work(reader: DaemonProcess, times: int) -> None:
    wait_until(lambda: len(reader.lines("intake working")) >= times, "it works")


@pytest.mark.slow
def test_row67__storm_of_kills(server: Server, deployment: DeploymentFixture) -> None:
    """Two readers that are killed over and over take every intent in once."""
    deployment.client.xgroup_create(KEYS.stream, GROUP, "0", mkstream=True)
    ids: list[str] = []
    with ExitStack() as stack:
        # Of so many kills an innocent one may meet five: that it is set aside then, others show.
        patient = {**QUICK, "intake__max_deliveries": 1000}
        readers = [stack.enter_context(intake_on(server, **patient)) for _ in range(2)]
        for number in range(30):
            texts = (intent(n) for n in range(300 * number, 300 * (number + 1)))
            ids += hand_in(deployment.client, *texts)
            victim = readers[number % 2]
            _wait_for_work(victim, number // 2 + 1)
            victim.kill()
            victim.start()
        wait_until(lambda: not left(deployment.client), "all is taken in")
    assert rejects(deployment.client) == []
    _assert_each_once(deployment, ids)
