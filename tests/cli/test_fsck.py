"""``fsck``: its exit codes, its JSON, and what it prints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.dead_letters import snapshot
from tests.support.deployment import DeploymentFixture
from tests.support.faults import FAULTS, cancelled, pending
from tests.support.servers import Server


@pytest.fixture
def deployment(server: Server) -> Iterator[DeploymentFixture]:
    """Found a deployment."""
    made = DeploymentFixture(server.url, worker__channels=["push", "email"])
    yield made
    made.close()


@pytest.fixture
def command(server: Server) -> CommandLine:
    """Give the command line."""
    return command_for(server, WORKER__CHANNELS="push,email")


def test_fsck__nothing_wrong_is_0(command: CommandLine, deployment: DeploymentFixture) -> None:
    """An empty deployment, and a sound one, are clean; nothing is written."""
    assert command.run("fsck").exit_code == 0
    pending(deployment)
    cancelled(deployment)
    before = snapshot(deployment.client)
    done = command.run("fsck")
    assert done.exit_code == 0
    assert done.stdout == "2 notifications with 2 routes, 1 entry of indexes: all consistent\n"
    assert command.run("fsck", "--fix").exit_code == 0
    assert snapshot(deployment.client) == before


def test_fsck__found_is_1_mended_is_0(command: CommandLine, deployment: DeploymentFixture) -> None:
    """What is found without --fix is 1; once it was mended it is 0."""
    member = FAULTS["not-scheduled"](deployment)
    done = command.run("fsck")
    assert done.exit_code == 1
    assert f"found     not-scheduled   {member}\n" in done.stdout
    assert "pending, but in no schedule → scheduled for when it is due" in done.stdout
    assert "galaxy-notify fsck --fix" in done.stdout
    assert member not in deployment.due()
    done = command.run("fsck", "--fix")
    assert done.exit_code == 0
    assert "repaired  not-scheduled" in done.stdout
    assert member in deployment.due()
    assert command.run("fsck").exit_code == 0


def test_fsck__left_is_4(command: CommandLine, deployment: DeploymentFixture) -> None:
    """What cannot be mended is left, and said so."""
    FAULTS["early"](deployment)
    deployment.client.set(deployment.keys.notification("nobody"), "foreign")
    done = command.run("fsck", "--fix")
    assert done.exit_code == 4
    assert "repaired  early" in done.stdout
    assert "left      foreign-key" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("1 repaired, 1 left")


def test_fsck__json_is_one_document(command: CommandLine, deployment: DeploymentFixture) -> None:
    """Programs get every finding, with what it is about and whether it was mended."""
    member = FAULTS["late"](deployment)
    told = command.told("fsck")
    assert command.run("fsck", "--json").exit_code == 1
    (finding,) = told.pop("findings")
    assert told == {
        "ok": False,
        "fix": False,
        "looked_at": {"notifications": 1, "routes": 1, "members": 1, "user_keys": 0},
        "found": 1,
        "mended": 0,
        "left": 1,
    }
    assert (finding["code"], finding["subject"], finding["mended"]) == ("late", member, False)
    assert list(finding) == ["code", "subject", "what", "mends", "mended"]
    told = command.told("fsck", "--fix")
    assert (told["ok"], told["mended"], told["left"]) == (True, 1, 0)
    assert command.told("fsck")["findings"] == []


def test_fsck__shows_a_few_of_each_kind(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """Hundreds of one kind do not hide the rest; the sum counts all."""
    for _ in range(30):
        FAULTS["early"](deployment)
    lines = command.run("fsck").stdout.splitlines()
    assert sum("early" in line for line in lines) == 21
    assert "and 10 more early: --json has all" in lines
    assert "30 found" in lines[-1]


def test_fsck__tells_who_changed_a_state(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """The history of a route that had to be buried names the operator."""
    member = FAULTS["record-missing"](deployment)
    assert command.run("fsck", "--fix").exit_code == 0
    assert deployment.route(member).history[-1].worker.startswith("cli:")


def test_fsck__cannot_steer_the_terminal(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """What somebody else wrote into an index is shown as text."""
    deployment.client.zadd(deployment.keys.schedule("push"), {b"\x1b[2J\xff": 1})
    done = command.run("fsck")
    assert done.exit_code == 1
    assert "\x1b" not in done.output


def test_fsck__without_redis_is_1() -> None:
    """A Redis that is away ends it with one line."""
    done = CommandLine(NOWHERE).run("fsck")
    assert done.exit_code == 1
    assert done.output.startswith("galaxy-notify: redis is away: ")
