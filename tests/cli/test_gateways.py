"""What ``status``, ``health`` and ``doctor`` say of gateways: who serves, who is behind."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.redis_state.gateways import REALTIME_GROUP
from galaxy_notify.redis_state.keys import inbox_key
from galaxy_notify.redis_state.worker_process import process_of
from tests.support.command import CommandLine
from tests.support.dead_letters import DeadLetterFixture, dead_letter_fixture
from tests.support.liveness import alive
from tests.support.registered_gateways import gateway_alive
from tests.support.servers import Server

INBOX = inbox_key("gn", "gw-1")


@pytest.fixture
def deployment(any_server: Server) -> Iterator[DeadLetterFixture]:
    """Give a deployment of one shard, with a worker that is alive."""
    with dead_letter_fixture(any_server) as made:
        alive(made)
        yield made


@pytest.fixture
def command(any_server: Server) -> CommandLine:
    """Give its command line."""
    return CommandLine(any_server.url)


def findings(command: CommandLine) -> list[dict[str, Any]]:
    """Return what doctor finds about gateways."""
    told = command.told("doctor")["findings"]
    return [finding for finding in told if finding["check"] == "gateways"]


def group_behind(deployment: DeadLetterFixture, by_ms: int) -> None:
    """Make the group of the gateways, with one event that it was not given for so long."""
    seconds, _ = deployment.client.time()
    stream = deployment.key_space.keys(0).stream
    deployment.client.xadd(stream, {"a": "b"}, id=f"{seconds * 1000 - by_ms}-0")
    deployment.client.xgroup_create(stream, REALTIME_GROUP, "0")


def test_status__has_the_gateways(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """Each has its streams, its users, and what waits in its inbox now."""
    assert command.told("status")["gateways"] == []
    assert "gateways" not in command.run("status").stdout
    gateway_alive(deployment, "gw-2", connections="70")
    gateway_alive(deployment)
    for _ in range(4):
        deployment.client.xadd(INBOX, {"tellings": "x"})
    first, second = command.told("status")["gateways"]
    assert list(first)[:4] == ["id", "connections", "users", "lag"]
    assert [first[name] for name in ("id", "connections", "users", "lag")] == ["gw-1", 3, 2, 4]
    assert (second["id"], second["connections"], second["lag"]) == ("gw-2", 70, 0)
    assert (first["host"], first["pid"], first["state"]) == ("h", 7, "working")
    shown = command.run("status").stdout.split("gateways\n")[1].splitlines()
    assert shown[0].split()[0] == "gateway"
    assert shown[1].split()[:6] == ["gw-1", "h", "7", "3", "2", "4"]


def test_status__counts_the_inbox_of_one_that_reports_no_more(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """A frozen gateway is silent and its lag grows; without an inbox nothing waits."""
    gateway_alive(deployment, ago_ms=20_000)
    for lag in (1, 2):
        deployment.client.xadd(INBOX, {"tellings": "x"})
        (told,) = command.told("status")["gateways"]
        assert (told["lag"], told["state"]) == (lag, "silent")
    deployment.client.delete(INBOX)
    assert command.told("status")["gateways"][0]["lag"] == 0
    deployment.client.set(INBOX, "foreign")
    assert command.told("status")["gateways"][0]["lag"] == 0


def test_status__forgets_who_left(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """An entry without its hash is no gateway any more; a registry of another type has none."""
    gateway_alive(deployment)
    keys = deployment.key_space.keys(0)
    deployment.client.delete(keys.gateway("gw-1"))
    assert command.told("status")["gateways"] == []
    deployment.client.set(keys.gateways, "foreign")
    assert command.told("status")["gateways"] == []


def test_gateways__whose_process_has_ended_are_named(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """On its own machine a dead process is known at once."""
    own = process_of(os.getpid())
    gateway_alive(deployment, pid=str(os.getpid()), process=f"{own}0")
    (told,) = command.told("status")["gateways"]
    assert told["state"] == "gone"
    (warning,) = command.told("health")["warnings"]
    assert warning.startswith("the process of gateway gw-1 has ended")


def test_health__needs_no_gateway(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """A deployment without a gateway is well, and one whose gateways have read everything."""
    assert command.told("health")["warnings"] == []
    assert findings(command) == []
    stream = deployment.key_space.keys(0).stream
    deployment.client.xgroup_create(stream, REALTIME_GROUP, "0", mkstream=True)
    assert command.told("health")["warnings"] == []
    gateway_alive(deployment)
    told = command.told("health")
    assert (told["ok"], told["reasons"], told["warnings"]) == (True, [], [])
    (found,) = findings(command)
    assert (found["level"], found["what"]) == ("ok", "1 alive, connections: 3, users: 2")


def test_health__names_events_that_no_gateway_reads(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """All gateways gone: a warning, for publishing goes on; exit code 0."""
    group_behind(deployment, 5_000)
    done = command.run("health")
    assert done.exit_code == 0
    (warning,) = command.told("health")["warnings"]
    assert warning.startswith("no gateway is alive that reads events, group realtime of")
    assert "galaxy-notify stream drop-group realtime" in warning
    gateway_alive(deployment, consumes="0")
    (warning,) = command.told("health")["warnings"]
    assert "drop-group" not in warning
    gateway_alive(deployment, consumes="1")
    assert command.told("health")["warnings"] == []


def test_health__names_a_group_that_is_a_minute_behind(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """What was given to a gateway and never acknowledged counts as what was not read."""
    group_behind(deployment, 75_000)
    gateway_alive(deployment)
    (warning,) = command.told("health")["warnings"]
    assert "group realtime of {gn:0}:client-events is behind by 1 min" in warning
    stream = deployment.key_space.keys(0).stream
    deployment.client.xreadgroup(REALTIME_GROUP, "c", {stream: ">"})
    (warning,) = command.told("health")["warnings"]
    assert "group realtime of {gn:0}:client-events is behind by 1 min" in warning
    assert command.told("health")["ok"] is True


def test_doctor__names_those_that_stopped_reporting(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """A gateway that died is remembered for an hour, and then no more."""
    gateway_alive(deployment, "gw-dead", ago_ms=120_000)
    gateway_alive(deployment, "gw-old", ago_ms=3_700_000)
    for name in ("gw-dead", "gw-old"):
        deployment.client.delete(deployment.key_space.keys(0).gateway(name))
    (found,) = findings(command)
    assert found["level"] == "warning"
    # Two minutes, and the time since.
    told = r"gateway gw-dead stopped reporting 2 min( \d+ s)? ago and did not end properly"
    assert re.fullmatch(told, found["what"])


def test_doctor__names_an_inbox_that_grows(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Some entries are on their way; a thousand say that their reader does not keep up."""
    gateway_alive(deployment)
    pipeline = deployment.client.pipeline()
    for _ in range(1001):
        pipeline.xadd(INBOX, {"tellings": "x"})
    pipeline.execute()
    (found,) = findings(command)
    assert found["what"] == "gateway gw-1 has 1,001 unread entries in its inbox"


def test_doctor__names_channels_and_settings_that_do_not_fit(
    any_server: Server, deployment: DeadLetterFixture
) -> None:
    """Chosen channels that the deployment lacks are ignored, and named; defaults are not."""
    del deployment
    settings = {"REALTIME__CHANNELS": '["push","news"]', "REALTIME__HISTORY_MS": "5000"}
    found = findings(CommandLine(any_server.url, settings))
    assert [finding["what"] for finding in found] == [
        "realtime.channels: news not in worker.channels",
        "realtime.history_ms is 5,000",
    ]
    assert {finding["level"] for finding in found} == {"warning"}
