"""A deployment behind sentinels: failovers forced and by death, silent sentinels, lost ones."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from galaxy_notify.errors import Misconfigured
from galaxy_notify.intake.notifier import Notifier
from tests.support.command import NOWHERE, CommandLine
from tests.support.daemons import daemon_on
from tests.support.deployment import Deploy, DeploymentFixture, member_of
from tests.support.founded import found_deployment
from tests.support.intents import PLAIN
from tests.support.load import load_on
from tests.support.roads import Road
from tests.support.sentinels import NAME, SentinelSet, role_of, watched
from tests.support.servers import each_server, main_server
from tests.support.telemetry import Lines, json_logs
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and give a function that reads them all."""
    with json_logs("info") as read:
        yield read


@pytest.fixture(params=each_server())
def nodes(request: pytest.FixtureRequest) -> Iterator[SentinelSet]:
    """Run one primary, two replicas and three sentinels, on each flavour of server."""
    with watched(request.param) as made:
        yield made


@pytest.fixture
def deploy(nodes: SentinelSet, lines: Lines) -> Iterator[Deploy]:
    """Found a deployment that the sentinels lead to; the URL itself leads nowhere."""
    del lines
    with ExitStack() as stack:

        def make(**settings: object) -> DeploymentFixture:
            deployment = DeploymentFixture(NOWHERE, **nodes.settings, **settings)
            stack.callback(deployment.close)
            stack.callback(deployment.assert_sound)
            return deployment

        yield make


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_sentinel__a_dead_primary_is_followed_by_the_daemon(how: str, nodes: SentinelSet) -> None:
    """A daemon publishes again soon after a replica was promoted, and was not restarted."""
    primary, before = nodes.primary(), nodes.named()
    deployment = DeploymentFixture(NOWHERE, **nodes.settings)
    variables = {"GALAXY_NOTIFY_REDIS__URL": NOWHERE}
    with daemon_on(primary, variables=variables, **nodes.settings) as daemon:
        daemon.wait_for("daemon working")
        made = deployment.notify("early")
        wait_until(lambda: deployment.event_ids() == [member_of(made, "early")], "it is published")
        primary.kill() if how == "killed" else primary.pause()
        daemon.wait_for("redis unavailable")
        nodes.promoted(before)
        later = deployment.notify("late")
        wait_until(lambda: member_of(later, "late") in deployment.event_ids(), "it goes on")
        primary.start() if how == "killed" else primary.resume()
        wait_until(lambda: role_of(primary) == "slave", "the old primary follows")
        last = deployment.notify("last")
        wait_until(lambda: member_of(last, "last") in deployment.event_ids(), "it still goes on")
        assert daemon.process.poll() is None
    deployment.assert_sound()
    deployment.close()


@pytest.mark.parametrize(
    "how",
    ["forced", *(pytest.param(how, marks=pytest.mark.slow) for how in ("death", "freeze"))],
)
def test_sentinel__loses_nothing_that_all_replicas_had(
    how: str, road: Road, nodes: SentinelSet, deploy: Deploy
) -> None:
    """With ``replicas:2`` a failover under load loses no acknowledged accept and no publish."""
    deployment = deploy(
        redis__durability="replicas:2",
        worker__lease_ttl_ms=1000,
        worker__max_abandoned=100,
        worker__publish=road,
        worker__slots=1,
    )
    harness = deployment.worker_harness()
    primary, before = nodes.primary(), nodes.named()
    with load_on(deployment.settings) as load, harness.running():
        load.wait_for_more(100)
        wait_until(lambda: len(load.published) >= 50, "events were confirmed")
        if how == "forced":
            nodes.force_failover()
        else:
            primary.kill() if how == "death" else primary.pause()
            nodes.promoted(before)
            # Without its second replica nothing can be confirmed.
            primary.start() if how == "death" else primary.resume()
        load.wait_for_more(100)
        wait_until(lambda: _follow_all(nodes), "both others follow")
    deployment.whole = False
    with deployment.worker_harness().running():
        wait_until(lambda: not deployment.due(), "all are published")
    there = {name.partition(":")[0].partition("/")[0] for name in deployment.event_ids()}
    assert set(load.accepted) - there == set(), "an acknowledged accept was lost"
    assert set(load.published) - set(deployment.event_ids()) == set(), "a confirmed event was lost"


def test_sentinel__publishing_does_not_need_sentinels(nodes: SentinelSet, deploy: Deploy) -> None:
    """A silent first sentinel is passed over; with none left the known primary is used on."""
    assert nodes.sentinels[0].process is not None
    os.kill(nodes.sentinels[0].process.pid, signal.SIGSTOP)
    deployment = deploy()
    with deployment.worker_harness().running():
        first = deployment.notify("a")
        wait_until(lambda: member_of(first, "a") in deployment.event_ids(), "it is published")
        for sentinel in nodes.sentinels:
            sentinel.kill()
        second = deployment.notify("b")
        wait_until(lambda: member_of(second, "b") in deployment.event_ids(), "it is published")


def test_sentinel__one_that_knows_nothing_is_told(nodes: SentinelSet) -> None:
    """An unknown name and sentinels that are away end a command with one line that says so."""
    settings = {"REDIS__SENTINELS": f'["{nodes.sentinels[0].address}"]'}
    for name, complaint in (("other", "has no primary named other"), (NAME, "")):
        command = CommandLine(NOWHERE, {**settings, "REDIS__SENTINEL_MASTER": name})
        done = command.run("status")
        assert (done.exit_code, len(done.stderr.splitlines())) == ((1, 1) if complaint else (0, 0))
        assert complaint in done.stderr
    everybody = {"REDIS__SENTINELS": json.dumps(nodes.settings["redis__sentinels"])}
    nodes.sentinels[0].kill()
    findings = CommandLine(NOWHERE, everybody).told("doctor")["findings"]
    told = {(one["level"], one["check"]) for one in findings}
    assert told >= {("warning", "sentinels"), ("ok", "sentinels"), ("ok", "replicas")}
    done = CommandLine(NOWHERE, settings).run("status")
    assert done.exit_code == 1
    assert f"{nodes.sentinels[0].address} does not answer" in done.stderr


def test_sentinel__has_a_password_of_its_own() -> None:
    """Sentinels are asked with ``sentinel_password``; without it a daemon ends with 78."""
    with watched(main_server(), replicas=0, password="open-sesame") as nodes:
        own = {name.removeprefix("redis__"): value for name, value in nodes.settings.items()}
        with (
            Notifier.from_url(NOWHERE, **own) as notifier,
            pytest.raises(Misconfigured, match=r"does not answer: .*authenticat"),
        ):
            notifier.accept(PLAIN)
        found_deployment(nodes.servers[0].url)
        with Notifier.from_url(NOWHERE, sentinel_password="open-sesame", **own) as notifier:
            assert notifier.accept(PLAIN).status == "accepted"
        variables = {"GALAXY_NOTIFY_REDIS__URL": NOWHERE}
        with daemon_on(nodes.servers[0], variables=variables, **nodes.settings) as daemon:
            assert daemon.ended() == 78


def _follow_all(nodes: SentinelSet) -> bool:
    with nodes.primary().client(decode=True) as client:
        info = client.info("replication")
    states = [info.get(f"slave{number}", {}).get("state") for number in range(2)]
    return states == ["online", "online"]
