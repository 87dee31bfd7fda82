"""``list``: what was accepted, for people and for programs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.command import NOWHERE, CommandLine
from tests.support.dead_letters import DeadLetterFixture
from tests.support.intents import PLAIN

KEYS = ["notification_id", "type", "producer", "severity", "accepted_at_ms", "created_at_ms"]
HEADER = ["id", "accepted", "type", "producer", "severity", "due", "open", "routes", "state"]
KEYS += ["due_at_ms", "expires_at_ms", "routes", "open", "cancelled", "parts", "state", "states"]


def listed(command: CommandLine, *arguments: str) -> list[dict[str, Any]]:
    """Return what is listed for programs."""
    done = command.run("list", *arguments, "--json")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_list__has_a_line_of_json_for_each(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Every key is always there; the newest comes first."""
    made = command.accept(*[{**PLAIN, "type": f"t{n}"} for n in range(5)])
    told = listed(command)
    assert [one["notification_id"] for one in told] == made[::-1]
    assert all(list(one) == KEYS for one in told)
    assert command.run("list").exit_code == 0


def test_list__goes_on_with_the_cursor_it_tells(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Standard error says how to go on, and nothing at the end."""
    made = command.accept(*[PLAIN] * 5)
    done = command.run("list", "--limit", "3", "--json")
    assert "3 shown, there may be more: --cursor " in done.stderr
    rest = command.run("list", "--json", "--cursor", done.stderr.split()[-1])
    assert rest.stderr == ""
    lines = (done.stdout + rest.stdout).splitlines()
    assert [json.loads(line)["notification_id"] for line in lines] == made[::-1]


def test_list__is_a_table_for_people(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """What was cancelled and what has parts is seen; what a producer wrote cannot steer."""
    large = {**PLAIN, "recipients": [f"u{n}" for n in range(1500)]}
    cancelled, large_id = command.accept(PLAIN, large)
    command.run("cancel", cancelled)
    head, first, second = command.run("list").stdout.splitlines()
    assert re.split(" +", head) == HEADER
    assert first.startswith(large_id)
    assert first.split()[-2:] == ["1,500", "pending"]
    assert second.startswith(cancelled)
    assert second.endswith("cancelled")


def test_list__takes_every_filter(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """Filters narrow together; where nothing matches it is 3."""
    command.accept(PLAIN, {**PLAIN, "type": "t", "producer": "p", "recipients": ["u1"]})
    given = ["--type", "t", "--producer", "p", "--user", "u1", "--since", "1h"]
    given += ["--state", "pending", "--state", "open"]
    (told,) = listed(command, *given, "--until", "2100-01-01T00:00:00Z")
    assert (told["type"], told["states"]) == ("t", {"pending": 1})
    done = command.run("list", *given, "--state", "expired", "--until", "30m")
    assert (done.exit_code, done.stdout, done.stderr) == (3, "", "nothing matched\n")
    assert listed(command, "--type", "nobody's") == []


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--limit", "0", "1<=x<=100"),
        ("--limit", "-1", "1<=x<=100"),
        ("--limit", "101", "1<=x<=100"),
        ("--limit", "ten", "integer"),
        ("--cursor", "abc", "is not a cursor of this list"),
        ("--state", "gone", "must be one of open, pending"),
        ("--user", "a b", "must match"),
        ("--since", "yesterday", "must be RFC 3339"),
        ("--until", "9" * 30, "outside"),
    ],
)
def test_list__refuses_what_cannot_be(
    option: str, value: str, told: str, command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Wrong usage is 2, with the option and the reason in one line."""
    done = command.run("list", option, value)
    assert done.exit_code == 2
    last = done.stderr.splitlines()[-1]
    assert option in last
    assert told in last


def test_list__survives_what_cannot_be_read(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """A damaged record is a line of its id; another key in place of the list is told."""
    made, fine = command.accept(PLAIN, PLAIN)
    keys = deployment.key_space.keys(0)
    deployment.client.hset(
        keys.notification(made), mapping={"record": "\x1b[2J", "due": "x", "open": "x"}
    )
    done = command.run("list")
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert {one["notification_id"]: one["type"] for one in listed(command)} == {
        made: None,
        fine: PLAIN["type"],
    }
    deployment.client.rename(keys.accepted, "elsewhere")
    deployment.client.set(keys.accepted, "foreign")
    done = command.run("list")
    assert done.exit_code == 3
    assert f"key {keys.accepted} has another type" in done.stderr


def test_list__without_redis_is_1() -> None:
    """It ends at once with one line."""
    done = CommandLine(NOWHERE).run("list")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
