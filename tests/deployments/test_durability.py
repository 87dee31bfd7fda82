"""``redis.durability``: done means that replicas, or the disk, have it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from galaxy_notify.embedded.binaries import version_key
from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, Status
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.settings import settings_from
from galaxy_notify.telemetry.logs import configure_logs
from tests.support.command import command_for
from tests.support.daemons import daemon_on
from tests.support.dead_letters import dead_letter_fixture
from tests.support.deployment import DeploymentFixture, member_of
from tests.support.founded import found_deployment
from tests.support.intents import PLAIN
from tests.support.replica_pair import Pair
from tests.support.roads import Road
from tests.support.servers import Server, each_server, main_server, running, servers_found
from tests.support.telemetry import Lines, json_logs, logging_restored
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended

#: A busy machine may not even answer in time.
UNSAFE = "0 of 1 replicas|timeout"
CAN_WAIT_FOR_DISK: list[Any] = [
    name for name, binary in servers_found().items() if version_key(binary.version) >= (7, 2)
] or [pytest.param("", marks=pytest.mark.skip("needs redis-server 7.2 or valkey-server"))]
#: Others may confirm before it is true (redis/redis#13793).
CONFIRMS_IN_TIME: list[Any] = [
    name
    for name, binary in servers_found().items()
    if binary.flavour == "redis" and version_key(binary.version) >= (8,)
] or [pytest.param("", marks=pytest.mark.skip("needs redis-server 8"))]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and give a function that reads them all."""
    with json_logs("info") as read:
        yield read


@pytest.fixture(params=each_server())
def pair(
    request: pytest.FixtureRequest, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pair]:
    """Run a primary and a replica that follows it."""
    del lines
    with ExitStack() as stack:
        quick = {"repl_diskless_sync_delay": "0"}
        primary = stack.enter_context(running(request.param, tcp=True, **quick))
        to = f"127.0.0.1 {primary.port}"
        replica = stack.enter_context(running(request.param, replicaof=to))
        with primary.client(decode=True) as client:
            wait_until(
                lambda: client.info("replication").get("slave0", {}).get("state") == "online",
                "the replica follows",
            )
        yield Pair(primary, replica, monkeypatch)


def test_replicas__an_accept_waits_for_them(pair: Pair) -> None:
    """What no replica has is not accepted; a repeat on another connection waits for it, too."""
    given = {"durability": "replicas:1"}
    found_deployment(pair.primary.url)
    with Notifier.from_url(pair.primary.url, **given) as notifier:
        assert notifier.accept(PLAIN).status == "accepted"
        pair.pause()
        with pytest.raises(Unavailable, match=UNSAFE) as first:
            notifier.accept(PLAIN)
        name = first.value.notification_id
        with (
            Notifier.from_url(pair.primary.url, **given) as other,
            pytest.raises(Unavailable, match=UNSAFE),
        ):
            other.accept(PLAIN, notification_id=name)
        pair.go_on()
        assert notifier.accept(PLAIN, notification_id=name).status == "duplicate"


def test_replicas__a_publish_by_script_waits_for_them(pair: Pair) -> None:
    """What no replica has is a fault; a pass that finds nothing due waits for nothing."""
    with logging_restored():
        # At debug level each route takes a lease.
        configure_logs("info", "json", io.StringIO())
        deployment = DeploymentFixture(pair.primary.url, redis__durability="replicas:1")
        harness = deployment.worker_harness()
        deployment.notify("a")
        assert harness.step() == 1
        deployment.notify("b")
        pair.pause()
        with pytest.raises(RedisFault, match=UNSAFE):
            harness.step()
        assert harness.step() == 0
        pair.go_on()
        deployment.notify("c")
        assert harness.step() == 1
        assert len(deployment.entries()) == 3
        deployment.assert_sound()
        deployment.close()


def test_replicas__a_refused_publish_is_not_called_unconfirmed(pair: Pair) -> None:
    """What the primary did not take is given back and tried again, and counts as no abandonment."""
    deployment = DeploymentFixture(pair.primary.url, redis__durability="replicas:1")
    deployment.notify("a")
    with pair.primary.client() as client:

        def encode(notification: Notification, route: Route) -> bytes:
            client.config_set("maxmemory", "0" if begun else "1")
            begun.append(True)
            return notification.packed

        begun: list[bool] = []
        harness = deployment.worker_harness(encode)
        with pytest.raises(RedisFault) as raised:
            harness.step()
        assert raised.value.fault.code == "OOM"
        client.config_set("maxmemory", "0")
    assert harness.step() == 1
    deployment.assert_sound()
    deployment.close()


@pytest.mark.parametrize("pair", [main_server()], indirect=True, ids=["bundled"])
def test_replicas__a_route_taken_back_twice_waits_for_them(pair: Pair) -> None:
    """The second time nothing is left to write, and still it is not done before they have it."""
    found_deployment(pair.primary.url)
    with Notifier.from_url(pair.primary.url, durability="replicas:1") as notifier:
        name = notifier.accept(PLAIN).notification_id
        assert name
        pair.pause()
        for _ in range(2):
            with pytest.raises(Unavailable, match=UNSAFE):
                notifier.cancel(name, route="push:user-7")
        pair.go_on()
        assert notifier.cancel(name, route="push:user-7").cancelled == 1


def test_replicas__a_publish_waits_for_them(pair: Pair, lines: Lines, road: Road) -> None:
    """An unconfirmed publish stands, is told once, and is neither repeated nor charged."""
    deployment = DeploymentFixture(
        pair.primary.url, redis__durability="replicas:1", worker__publish=road
    )
    with deployment.worker_harness().running():
        first = deployment.notify("a")
        wait_until(lambda: deployment.event_ids() == [member_of(first, "a")], "it is published")
        pair.pause()
        with pytest.raises(Unavailable):
            deployment.notify("b")
        told = ("redis unavailable", "unconfirmed")
        wait_until(lambda: told in [_told(line) for line in lines()], "it is told")
        pair.go_on()
        deployment.notify("c")
        wait_until(lambda: len(deployment.event_ids()) == 3, "all are published")
    assert all(route.attempts == 0 for route in deployment.routes().values())
    assert [_told(line) for line in lines()].count(told) == 1
    deployment.assert_sound()
    deployment.close()


def test_replicas__a_replay_and_a_cancel_wait_for_them(pair: Pair) -> None:
    """What an operator did and nobody confirmed is not told as done."""
    command = command_for(pair.primary, REDIS__DURABILITY="replicas:1")
    with dead_letter_fixture(pair.primary) as letters:
        (member,) = letters.bury(["push:u"])
        pair.pause()
        replayed = command.run("dead", "replay", member, "--yes")
        assert replayed.exit_code == 1
        assert re.search(rf"1 not moved: .*({UNSAFE}|did not answer)", replayed.stdout)
        cancelled = command.run("cancel", member[:32])
        assert cancelled.exit_code == 1
        assert re.search(UNSAFE, cancelled.stderr)
        assert letters.route(member).status is Status.CANCELLED
        pair.go_on()
        assert command.run("cancel", member[:32]).exit_code == 0


@pytest.mark.parametrize("name", CAN_WAIT_FOR_DISK)
def test_aof__an_accept_waits_for_the_disk(name: str) -> None:
    """With an append-only file an accept is done once the file is on the disk."""
    with running(servers_found()[name], appendonly="yes", appendfsync="always") as server:
        found_deployment(server.url)
        with Notifier.from_url(server.url, durability="aof") as notifier:
            for _ in range(3):
                assert notifier.accept(PLAIN).status == "accepted"
        server.kill()
        server.start()
        assert DeploymentFixture(server.url).total("accepted") == 3


def test_aof__a_server_that_has_none_is_refused(any_server: Server) -> None:
    """Without such a file, or where none can be waited for, the daemon ends with 78."""
    with daemon_on(any_server, redis__durability="aof") as daemon:
        assert daemon.ended() == 78
        assert "redis.durability" in daemon.log.read_text().splitlines()[-1]


@pytest.fixture(params=CONFIRMS_IN_TIME)
def every_second(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run a server whose disk has a write up to a second later."""
    with running(servers_found()[request.param], appendonly="yes", appendfsync="everysec") as one:
        found_deployment(one.url)
        yield one


@pytest.mark.parametrize("command", ["run", "intake", "serve"])
def test_aof__a_disk_that_is_late_is_refused(every_second: Server, command: str) -> None:
    """Who serves ends with 78, and says which option of the server has to be another."""
    given = {"redis__durability": "aof", "http__port": 0}
    with daemon_on(every_second, command=command, **given) as daemon:
        assert daemon.ended() == 78
        assert "appendfsync always" in daemon.log.read_text().splitlines()[-1]


def test_aof__a_disk_that_is_late_is_refused_by_clients(every_second: Server) -> None:
    """Who only hands in has the same answer, from the first call on; `doctor` finds it."""
    with Notifier.from_url(every_second.url, durability="aof") as notifier:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="appendfsync always"):
                notifier.accept(PLAIN)
    command = command_for(every_second, REDIS__DURABILITY="aof")
    assert command.run("accept", stdin=json.dumps(PLAIN)).exit_code == 78
    findings = command.told("doctor")["findings"]
    (finding,) = [one for one in findings if one["check"] == "durability"]
    assert finding["level"] == "error"
    assert "appendfsync always" in finding["todo"]
    assert DeploymentFixture(every_second.url).total("accepted") == 0


def test_aof__a_disk_that_gets_late_is_told(every_second: Server, lines: Lines, road: Road) -> None:
    """Changed while a daemon works, it is told with the way out; nothing is published twice."""
    with every_second.client() as client:
        client.config_set("appendfsync", "always")
        deployment = DeploymentFixture(
            every_second.url, redis__durability="aof", worker__publish=road
        )
        with deployment.worker_harness().running():
            deployment.notify("a")
            wait_until(lambda: len(deployment.event_ids()) == 1, "it is published")
            client.config_set("appendfsync", "no")
            with Notifier(settings_from({"redis": {"url": every_second.url}})) as hasty:
                for recipient in "bcd":
                    hasty.accept({**PLAIN, "recipients": [recipient]})
            wait_until(lambda: len(deployment.event_ids()) == 4, "all is published")
            told = ("redis unavailable", "unconfirmed")
            wait_until(lambda: told in [_told(line) for line in lines()], "it is told")
            assert any("appendfsync always" in str(line) for line in lines())
            client.config_set("appendfsync", "always")
    deployment.assert_sound()
    deployment.close()


@pytest.mark.parametrize("name", CAN_WAIT_FOR_DISK)
def test_aof__a_disk_that_is_left_to_the_kernel_is_told(name: str) -> None:
    """With `appendfsync no` nothing is ever confirmed, and the error says what to change."""
    with running(servers_found()[name], appendonly="yes", appendfsync="no") as server:
        found_deployment(server.url)
        with (
            Notifier.from_url(server.url, durability="aof") as notifier,
            pytest.raises(Unavailable, match=r"appendfsync always|timeout"),
        ):
            notifier.accept(PLAIN)
        findings = command_for(server, REDIS__DURABILITY="aof").told("doctor")["findings"]
        assert ("error", "durability") in [(one["level"], one["check"]) for one in findings]


def _told(line: dict[str, object]) -> tuple[object, object]:
    return line["event"], line.get("code")
