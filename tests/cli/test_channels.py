"""``channels``: listed, shown, and tried out with a test message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.webhooks.signature import new_secret
from tests.support import own_channels
from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.contacts import key
from tests.support.founded import found_deployment
from tests.support.servers import Server

CHANNELS = ["push", "audit", "hooks", "mine"]
OWN = "tests.support.own_channels:send"
VARIABLES = {
    "WORKER__CHANNELS": ",".join(CHANNELS),
    "CHANNELS__AUDIT__KIND": "log",
    "CHANNELS__HOOKS__KIND": "webhook",
    "CHANNELS__MINE__KIND": OWN,
    "CHANNELS__MINE__TIMEOUT_MS": "600000",
    "CHANNELS__MINE__LEASE_TTL_MS": "1200000",
    "CONTACTS__KEYS": key(),
}


@pytest.fixture
def command(server: Server) -> CommandLine:
    """Give the command line of a deployment with channels of several kinds."""
    found_deployment(server.url, channels=CHANNELS)
    return command_for(server, **VARIABLES)


def contacts(command: CommandLine, *addresses: str) -> None:
    """Give u1 these addresses of ``mine``, with their place as id."""
    listed = [{"address": one, "id": f"c{number}"} for number, one in enumerate(addresses, 1)]
    done = command.run("contacts", "set", "u1", "--channel", "mine", stdin=json.dumps(listed))
    assert done.exit_code == 0, done.output


def tried(command: CommandLine, *words: str) -> tuple[int, dict[str, Any]]:
    """Send a test message; return the exit code and the document."""
    done = command.run("channels", "test", *words, "--json")
    return done.exit_code, json.loads(done.stdout)


def test_ls__lists_channels_with_kinds(command: CommandLine) -> None:
    """Stream channels have no kind; what waits is counted."""
    intent = {"type": "t", "producer": "p", "recipients": ["u1"], "channels": ["mine"]}
    command.accept(intent)
    assert command.run("pause", "audit").exit_code == 0
    done = command.run("channels", "ls", "--json")
    found = {one["channel"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert list(found) == CHANNELS
    kinds = {name: one["kind"] for name, one in found.items()}
    assert kinds == {"push": None, "audit": "log", "hooks": "webhook", "mine": OWN}
    assert [one["scheduled"] for one in found.values()] == [0, 0, 0, 1]
    assert [one["paused"] for one in found.values()] == [False, True, False, False]
    shown = [line.split() for line in command.run("channels", "ls").stdout.splitlines()]
    assert ["push", "(stream)", "0", "0", "0"] in shown
    assert ["audit", "log", "0", "0", "0", "paused"] in shown


def test_show__has_settings_and_problems(command: CommandLine) -> None:
    """Problems are what a daemon would refuse to start for."""
    command.run("pause", "mine")
    found = command.told("channels", "show", "mine")
    assert (found["kind"], found["paused"], found["problems"]) == (OWN, True, [])
    assert (found["settings"]["timeout_ms"], found["settings"]["delivery"]) == (
        600_000,
        "at_least_once",
    )
    text = command.run("channels", "show", "mine").stdout
    assert f"mine  {OWN}" in text
    assert "paused" in text
    command.environ["GALAXY_NOTIFY_CHANNELS__MINE__KIND"] = "tests.support.own_channels:missing"
    command.environ["GALAXY_NOTIFY_CONTACTS__KEYS"] = ""
    first, second = command.told("channels", "show", "mine")["problems"]
    assert first.startswith("channels.mine.kind: cannot load")
    assert second.startswith("contacts.keys: must be set")
    assert "! channels.mine.kind: cannot load" in command.run("channels", "show", "mine").stdout


def test_show__of_a_stream_channel_has_no_settings(command: CommandLine) -> None:
    """It is not external."""
    found = command.told("channels", "show", "push")
    assert (found["kind"], found["settings"], found["problems"]) == (None, None, [])
    assert command.run("channels", "show", "push").stdout.startswith("push  (stream)\n")


@pytest.mark.parametrize(
    "words", [("show", "nope"), ("test", "nope", "u1"), ("test", "push", "u1")]
)
def test_unknown__is_3(command: CommandLine, words: tuple[str, ...]) -> None:
    """The known ones are named; only external channels can be tried."""
    done = command.run("channels", *words)
    assert done.exit_code == 3
    assert done.stdout == ""
    assert "audit" in done.stderr


def test_test__sends_by_the_kind_itself(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function gets a delivery like those of a daemon, with the contact."""
    given: list[Delivery] = []

    async def send(delivery: Delivery) -> None:
        given.append(delivery)

    monkeypatch.setattr(own_channels, "send", send)
    contacts(command, "ann@example.com")
    code, found = tried(command, "mine", "u1", "--type", "game.turn.ready")
    assert code == 0
    (one,) = given
    assert (one.channel, one.user_id, one.address) == ("mine", "u1", "ann@example.com")
    assert (one.type, one.title, one.attempt) == ("game.turn.ready", "Test message", 1)
    assert one.event_id == found["event_id"]
    (address,) = found["addresses"]
    assert (address["id"], address["address"]) == ("c1", "a…@example.com")
    assert (address["outcome"], address["reason"]) == ("delivered", None)


@pytest.mark.parametrize(
    ("addresses", "code", "outcomes"),
    [
        (["ann@example.com", "bob@example.com"], 0, ["delivered", "delivered"]),
        (["ann@example.com", "later"], 4, ["delivered", "transient"]),
        (["refuse@example.com", "later"], 1, ["permanent", "transient"]),
        ([], 3, []),
    ],
)
def test_test__says_what_became_of_each_address(
    command: CommandLine, addresses: list[str], code: int, outcomes: list[str]
) -> None:
    """The exit code says to how many it was delivered; no address is printed whole."""
    contacts(command, *addresses)
    got, found = tried(command, "mine", "u1")
    assert got == code
    assert [one["outcome"] for one in found["addresses"]] == outcomes
    done = command.run("channels", "test", "mine", "u1")
    assert done.exit_code == code
    assert len(done.stdout.splitlines()) == len(addresses)
    assert not any(one in done.output for one in addresses if "@" in one)


def test_test__of_a_log_channel_writes_its_line(command: CommandLine) -> None:
    """It needs no contact; the line is on standard error."""
    done = command.run("channels", "test", "audit", "u1")
    assert (done.exit_code, done.stdout) == (0, "delivered\n")
    assert '"event":"notification logged"' in done.stderr.replace(": ", ":")


def test_test__of_a_webhook_goes_past_no_guard(command: CommandLine) -> None:
    """An endpoint that wants other types is left out, and a forbidden address is not sent to."""
    data = {"types": ["game.turn.ready"], "secrets": [{"secret": new_secret()}]}
    listed = [{"address": "https://127.0.0.1/hook", "data": data}]
    done = command.run("contacts", "set", "u1", "--channel", "hooks", stdin=json.dumps(listed))
    assert done.exit_code == 0, done.output
    code, found = tried(command, "hooks", "u1")
    (left_out,) = found["addresses"]
    assert (code, left_out["outcome"], left_out["reason"]) == (3, "skipped", "unsubscribed")
    code, found = tried(command, "hooks", "u1", "--type", "game.turn.ready")
    (refused,) = found["addresses"]
    assert (code, refused["outcome"], refused["reason"]) == (1, "permanent", "blocked")


def test_test__names_a_failing_lookup(server: Server) -> None:
    """It is not Redis that is away."""
    variables = {**VARIABLES, "CONTACTS__KEYS": ""}
    variables["CONTACTS__LOOKUP"] = "tests.support.own_channels:no_contacts"
    found_deployment(server.url, channels=CHANNELS)
    done = command_for(server, **variables).run("channels", "test", "mine", "u1")
    assert (done.exit_code, done.stderr) == (1, "galaxy-notify: contacts.lookup failed: OSError\n")


def test_test__needs_keys(command: CommandLine) -> None:
    """Without them no contact can be read."""
    command.environ["GALAXY_NOTIFY_CONTACTS__KEYS"] = ""
    done = command.run("channels", "test", "mine", "u1")
    assert done.exit_code == 78
    assert "contacts.keys" in done.stderr


def test_test__refuses_what_is_no_type() -> None:
    """Before anything is connected to."""
    done = CommandLine(NOWHERE).run("channels", "test", "mine", "u1", "--type", "a b")
    assert done.exit_code == 2
