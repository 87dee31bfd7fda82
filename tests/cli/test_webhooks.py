"""``webhooks``: endpoints added, listed, given new secrets, and tried."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.errors import InvalidSignature
from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.contacts import (
    EMAIL,
    HOOK,
    SECRETS,
    WEBHOOK_SECRET,
    key,
    sections,
    variables,
)
from tests.support.delivered_routes import dead, delivered, ended
from tests.support.deployment import DeploymentFixture
from tests.support.servers import Server
from tests.support.webhook_owner import WebhookOwner, webhook_owner

URL = "https://1.1.1.1/hooks/path"


@pytest.fixture
def owner() -> Iterator[WebhookOwner]:
    """Give the owner of an endpoint."""
    with webhook_owner() as made:
        yield made


@pytest.fixture
def command(server: Server, owner: WebhookOwner) -> CommandLine:
    """Give the command line of a deployment whose channel may send to the owner."""
    allowed = {
        "CHANNELS__HOOKS__ALLOW": "127.0.0.1",
        "CHANNELS__HOOKS__PORTS": f"443,{owner.port}",
        "CHANNELS__HOOKS__REQUIRE_HTTPS": "false",
    }
    return command_for(server, **variables(), **allowed)


def lines(text: str) -> list[Any]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def listed(command: CommandLine, user: str = "u1") -> list[Any]:
    """Return the endpoints of a user."""
    done = command.run("webhooks", "ls", user, "--json")
    assert done.exit_code == 0
    return lines(done.stdout)


def add(command: CommandLine, url: str, *options: str, user: str = "u1") -> Any:
    """Add an endpoint and return what was printed."""
    return command.told("webhooks", "add", user, url, *options)


def test_add__shows_the_secret_once(command: CommandLine, tmp_path: Path) -> None:
    """What is listed later has everything but the secret."""
    headers = tmp_path / "headers.json"
    headers.write_text('{"X-Team": "red"}')
    added = add(command, URL, "--type", "a.b", "--type", "c.*", "--headers", str(headers))
    secret = added.pop("secret")
    assert secret.startswith("whsec_")
    assert (added["url"], added["types"], added["headers"]) == (URL, ["a.b", "c.*"], ["X-Team"])
    assert (added["user"], added["channel"]) == ("u1", "hooks")
    assert listed(command) == [added]
    text = command.run("webhooks", "ls", "u1").stdout
    assert f"  hooks {added['id']}  {URL}  only a.b, c.*\n" in text
    assert secret not in text
    assert "  secret whsec_" in command.run("webhooks", "add", "u2", URL).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("u1", "https://10.0.0.1/x"), "url: the address is not allowed"),
        (("u1", "https://[::ffff:10.0.0.1]/x"), "url: the address is not allowed"),
        (("u1", "https://1.1.1.1:444/x"), "url: the port must be one of"),
        (("u1", "https://user@1.1.1.1/x"), "url: must not have a user"),
        (("u1", "ftp://1.1.1.1/x"), "url: must be http(s)://"),
        (("u1", URL, "--type", "a b"), "types[0]: "),
        (("u1", URL, "--channel", "mine"), "channel: must be an external one"),
    ],
)
def test_add__refuses_with_the_reason(
    command: CommandLine, arguments: tuple[str, ...], said: str
) -> None:
    """It is one line and exit code 1, and nothing is added."""
    done = command.run("webhooks", "add", *arguments)
    assert done.exit_code == 1
    assert said in done.stderr
    assert listed(command) == []


def test_add__refuses_a_name_that_leads_inside(server: Server) -> None:
    """A name is looked up: that of this machine is refused as its address is."""
    done = command_for(server, **variables()).run("webhooks", "add", "u1", "https://localhost/x")
    assert done.exit_code == 1
    assert "url: the address is not allowed" in done.stderr


def test_add__of_a_name_that_is_not_there(command: CommandLine) -> None:
    """It may be there later: it is added, with a note."""
    done = command.run("webhooks", "add", "u1", "https://none.invalid/x", "--json")
    assert done.exit_code == 0
    assert done.stderr.startswith("added, but the name ")
    assert [one["url"] for one in listed(command)] == ["https://none.invalid/x"]


def test_rotate__keeps_the_old_secret_for_a_day(command: CommandLine, owner: WebhookOwner) -> None:
    """In between both verify a request; with --at-once only the new one does."""
    added = add(command, owner.url)
    rotated = command.told("webhooks", "rotate", added["id"])
    assert rotated["secret"] != added["secret"]
    day_ms = rotated["old_secret_until_ms"] - rotated["created_at_ms"]
    assert day_ms >= 86_400_000
    assert command.run("webhooks", "test", added["id"]).exit_code == 0
    [first] = owner.received
    assert first.verified(added["secret"]) == first.verified(rotated["secret"])
    at_once = command.told("webhooks", "rotate", added["id"], "--at-once")
    assert at_once["old_secret_until_ms"] is None
    assert command.run("webhooks", "test", added["id"]).exit_code == 0
    owner.received[1].verified(at_once["secret"])
    with pytest.raises(InvalidSignature):
        owner.received[1].verified(rotated["secret"])


def test_disable__and_enable(command: CommandLine) -> None:
    """Again is no change; the reason is shown."""
    added = add(command, URL)
    disabled = command.told("webhooks", "disable", added["id"])
    assert disabled["disabled_reason"] == "disabled by hand"
    assert command.told("webhooks", "disable", added["id"]) == disabled
    assert "disabled by hand" in command.run("webhooks", "ls", "u1").stdout
    enabled = command.told("webhooks", "enable", added["id"])
    assert (enabled["disabled_at_ms"], enabled["disabled_reason"]) == (None, None)


def test_test__shows_the_answer(command: CommandLine, owner: WebhookOwner) -> None:
    """The request is signed as any; the attempt is listed like any."""
    added = add(command, owner.url, "--type", "a.b")
    told = command.told("webhooks", "test", added["id"])
    assert (told["outcome"], told["status"], told["response"]) == ("delivered", 200, "thanks")
    [received] = owner.received
    assert received.verified(added["secret"]) == told["webhook_id"]
    assert received.event["type"] == "galaxy-notify.test"
    assert received.event["event_id"] == told["event_id"]
    [attempt] = lines(command.run("webhooks", "attempts", added["id"], "--json").stdout)
    assert (attempt["event_id"], attempt["status"]) == (told["event_id"], 200)
    text = command.run("webhooks", "attempts", added["id"]).stdout
    assert "delivered 200  in " in text
    assert "\n    thanks\n" in text


def test_test__that_fails(command: CommandLine, owner: WebhookOwner) -> None:
    """Exit code 1, with the answer; a disabled endpoint is tested all the same."""
    owner.status, owner.response = 503, "later\x1b[31m"
    added = add(command, owner.url)
    command.run("webhooks", "disable", added["id"])
    done = command.run("webhooks", "test", added["id"])
    assert done.exit_code == 1
    assert "transient 503: it answered 503" in done.stdout
    assert "later\N{REPLACEMENT CHARACTER}[31m" in done.stdout


def test_attempts__of_an_endpoint_that_was_never_sent_to(command: CommandLine) -> None:
    """There are none, which is no failure."""
    added = add(command, URL)
    done = command.run("webhooks", "attempts", added["id"])
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "no attempts\n")


@pytest.mark.parametrize("verb", ["rotate", "enable", "disable", "attempts", "test", "replay"])
def test_webhooks__by_id(command: CommandLine, verb: str) -> None:
    """An id names its user; one of another form needs --user; unknown is 3."""
    more = ("--since", "1h") if verb == "replay" else ()
    gone = add(command, URL)["id"]
    command.run("contacts", "rm", "u1")
    done = command.run("webhooks", verb, gone, *more)
    assert (done.exit_code, done.stderr) == (3, f"no endpoint of u1: {gone}\n")
    assert command.run("webhooks", verb, "mine", *more).exit_code == 2
    assert command.run("webhooks", verb, "mine", "--user", "u1", *more).exit_code == 3


def test_webhooks__of_contacts(command: CommandLine) -> None:
    """What `contacts set` stored is an endpoint as well; other channels are not."""
    hook = {"channel": "hooks", "address": HOOK, "id": "own", "data": {"secrets": SECRETS}}
    both = [hook, {"channel": "mine", "address": EMAIL}]
    command.run("contacts", "set", "u1", "-", stdin=json.dumps(both))
    [one] = listed(command)
    assert (one["id"], one["url"]) == ("own", HOOK)
    rotated = command.told("webhooks", "rotate", "own", "--user", "u1")
    assert rotated["secret"] not in ("", WEBHOOK_SECRET)


def test_webhooks__that_cannot_be_decrypted(server: Server, command: CommandLine) -> None:
    """They are listed with the reason; a change is refused."""
    name = add(command, URL)["id"]
    other = command_for(server, **variables(key("k2", 2)))
    [one] = listed(other)
    assert one["unreadable"] == "its key 'k1' is not in contacts.keys"
    assert f"hooks {name}  unreadable: its key" in other.run("webhooks", "ls", "u1").stdout
    done = other.run("webhooks", "rotate", name)
    assert done.exit_code == 1
    assert "id: the endpoint cannot be decrypted" in done.stderr


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"CONTACTS__KEYS": ""}, "contacts.keys"),
        ({"CHANNELS__HOOKS__KIND": "log"}, "none of them is of kind webhook"),
    ],
)
def test_webhooks__need_a_channel_and_keys(changed: dict[str, str], said: str) -> None:
    """Without them it is 78."""
    done = CommandLine(NOWHERE, variables() | changed).run("webhooks", "ls", "u1")
    assert done.exit_code == 78
    assert said in done.stderr


def test_replay__says_what_it_did(
    server: Server, command: CommandLine, owner: WebhookOwner
) -> None:
    """What was delivered is sent, a dead letter is due again; nothing is 3, a failure is 1."""
    endpoint = add(command, owner.url)
    nothing = command.run("webhooks", "replay", endpoint["id"], "--since", "1h")
    assert (nothing.exit_code, nothing.stderr) == (3, "nothing matched\n")
    with closing(DeploymentFixture(server.url, **sections())) as deployment:
        ended(deployment, delivered, "hooks")
        ended(deployment, dead, "hooks")
    owner.status = 500
    failed = command.run("webhooks", "replay", endpoint["id"], "--since", "1h")
    assert failed.exit_code == 4
    assert "  1 not sent: it answered 500\n1 dead letter due again\n" in failed.stdout
    owner.status = 200
    told = command.told("webhooks", "replay", endpoint["id"], "--since", "1h")
    assert (told["sent"], told["failed"], told["dead_letters"]["matched"]) == (1, 0, 0)
    again = command.run("webhooks", "replay", endpoint["id"], "--since", "1h")
    assert (again.exit_code, again.stdout) == (0, "sent 1 event\n")
