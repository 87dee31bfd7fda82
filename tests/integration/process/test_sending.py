"""Daemons that serve external channels: alone, shared out, and stopped during a send."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.redis_client.flows import run_flow_sync
from tests.support.command import CommandLine
from tests.support.contacts import key
from tests.support.daemons import daemon_on
from tests.support.deployment import Deploy, DeploymentFixture, member_of
from tests.support.held_sends import FOLDER
from tests.support.servers import Server
from tests.support.wait import wait_until

CHANNELS = {"lines": {"kind": "log"}, "held": {"kind": "tests.support.held_sends:send"}}


@pytest.fixture
def deployment(any_server: Server, deploy: Deploy) -> DeploymentFixture:
    """Give a deployment with a stream channel and two external ones; u1 has a contact."""
    made = deploy(
        any_server,
        worker={"channels": ["push", *CHANNELS]},
        channels=CHANNELS,
        contacts={"keys": [key()]},
    )
    flow = open_book(made.settings).replace(made.key_space, "u1", [NewContact("held", "a")])
    run_flow_sync(made.client, flow)
    return made


def _settings(*serves: str, **further: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "worker__channels": ["push", *CHANNELS],
        "worker__serves": list(serves),
        "contacts__keys": [key()],
    }
    given |= {f"channels.{name}__kind": one["kind"] for name, one in CHANNELS.items()}
    return given | further


def _notify(deployment: DeploymentFixture, channel: str) -> str:
    return member_of(deployment.notify("u1", channels=[channel]), "u1", channel)


def _status(deployment: DeploymentFixture, member: str) -> str:
    return str(deployment.route(member).status)


def test_daemon__with_external_channels_alone_is_healthy(
    any_server: Server, deployment: DeploymentFixture
) -> None:
    """It reports, sends what it serves, and leaves the rest to others."""
    pushed, held = _notify(deployment, "push"), _notify(deployment, "held")
    variables = {"WORKER__CHANNELS": "push,lines,held", "CONTACTS__KEYS": key()}
    variables |= {f"CHANNELS__{name.upper()}__KIND": one["kind"] for name, one in CHANNELS.items()}
    command = CommandLine(any_server.url, variables)
    with daemon_on(any_server, **_settings("lines")) as daemon:
        daemon.wait_for("daemon working")
        member = _notify(deployment, "lines")
        wait_until(lambda: _status(deployment, member) == "delivered", "it is sent")
        (line,) = daemon.lines("notification logged")
        assert line["event_id"] == member
        wait_until(lambda: command.run("health").exit_code == 0, "it is healthy")
        shown = wait_until(lambda: _served(command), "it reports what it serves")
        assert shown == {"push": None, "lines": "log", "held": None}
        assert _status(deployment, pushed) == _status(deployment, held) == "pending"
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0
        assert daemon.lines("daemon draining")[0]["at_most_s"] == 30


def _served(command: CommandLine) -> dict[str, str | None] | None:
    channels = json.loads(command.run("status", "--json").stdout)["channels"]
    kinds = {name: one["kind"] for name, one in channels.items()}
    return kinds if any(kinds.values()) else None


def test_sigterm__waits_for_the_send_in_flight(
    any_server: Server, deployment: DeploymentFixture, tmp_path: Path
) -> None:
    """What is being sent ends and is recorded; another route waits for the next daemon."""
    first = _notify(deployment, "held")
    settings = _settings("held", **{"channels.held__concurrency": 1})
    with daemon_on(any_server, variables={FOLDER: str(tmp_path)}, **settings) as daemon:
        wait_until((tmp_path / "sent-u1-1").exists, "it is being sent")
        second = _notify(deployment, "held")
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("daemon draining")
        assert _status(deployment, first) == "pending"
        (tmp_path / "end").touch()
        assert daemon.ended() == 0
        assert daemon.lines("drain timed out") == []
        assert _status(deployment, first) == "delivered"
        assert _status(deployment, second) == "pending"
        assert deployment.leases("held") == {}
        daemon.start()
        wait_until(lambda: _status(deployment, second) == "delivered", "the next one sends it")


def test_kill__repeats_the_send_with_the_same_id(
    any_server: Server, deployment: DeploymentFixture, tmp_path: Path
) -> None:
    """A daemon dies during a send: when its lease has expired, the next one sends it again."""
    member = _notify(deployment, "held")
    with daemon_on(any_server, variables={FOLDER: str(tmp_path)}, **_settings("held")) as daemon:
        wait_until((tmp_path / "sent-u1-1").exists, "it is being sent")
        daemon.kill()
        (tmp_path / "end").touch()
        (tmp_path / "sent-u1-1").unlink()
        deployment.move_leases(1, "held")
        daemon.start()
        wait_until(lambda: _status(deployment, member) == "delivered", "it is sent")
        assert (tmp_path / "sent-u1-1").exists()
    assert deployment.total("abandoned") == 1
