"""``contacts``: shown, replaced, removed, taken in by the line, and encrypted again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.contacts import EMAIL, HOOK, HOOKED, SECRETS, key, variables
from tests.support.servers import Server

MINE = {"channel": "mine", "address": EMAIL}


@pytest.fixture
def command(server: Server) -> CommandLine:
    """Give the command line of a deployment that stores contacts."""
    return command_for(server, **variables())


def documents(text: str) -> list[Any]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def listed(command: CommandLine, *arguments: str) -> list[Any]:
    """Return the contacts of u1."""
    done = command.run("contacts", "ls", "u1", *arguments, "--json")
    assert done.exit_code == 0
    return documents(done.stdout)


def test_set__replaces_the_named_channels(command: CommandLine, tmp_path: Path) -> None:
    """A file or standard input has the list; the other channels are left alone."""
    hook = {"channel": "hooks", "address": HOOK, "data": {"secrets": SECRETS, "types": ["a"]}}
    file = tmp_path / "contacts.json"
    file.write_text(json.dumps([hook, MINE | {"id": "e1"}]))
    done = command.run("contacts", "set", "u1", str(file), "--json")
    first, second = documents(done.stdout)
    assert (first["channel"], first["kind"], first["address"]) == ("hooks", "webhook", HOOK)
    assert first["data"] == {"secrets": "********", "types": ["a"]}
    assert (second["id"], second["address"], second["disabled_at_ms"]) == ("e1", EMAIL, None)
    assert listed(command) == [first, second]
    assert listed(command, "--channel", "mine") == [second]
    other = json.dumps([{"address": "b@c"}])
    assert (
        command.run("contacts", "set", "u1", "-", "--channel", "mine", stdin=other).exit_code == 0
    )
    assert [one["address"] for one in listed(command)] == [HOOK, "b@c"]
    assert command.run("contacts", "set", "u1", "--channel", "mine", stdin="[]").exit_code == 0
    assert listed(command) == [first]
    assert f"  hooks {first['id']}  {HOOK}\n" in command.run("contacts", "ls", "u1").stdout


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        ("[", "the input: "),
        ("{}", "must be a list of contacts"),
        ('[{"channel":"push","address":"a"}]', '[0].channel: must be an external one, not "push"'),
        ('[{"channel":"mine","address":"a","x":1}]', "[0].x: "),
    ],
)
def test_set__refuses_by_name(command: CommandLine, stdin: str, said: str) -> None:
    """What is wrong is one line, and nothing is stored."""
    done = command.run("contacts", "set", "u1", "-", stdin=stdin)
    assert done.exit_code == 1
    assert said.removeprefix("the input: ") in done.stderr
    assert listed(command) == []


def test_set__needs_a_file_that_can_be_read(command: CommandLine, tmp_path: Path) -> None:
    """A missing file is wrong usage."""
    assert command.run("contacts", "set", "u1", str(tmp_path / "none")).exit_code == 2


def test_rm__by_id_or_all(command: CommandLine) -> None:
    """3 says that nothing matched."""
    wanted = [MINE | {"id": "a"}, MINE | {"id": "b", "address": "b@c"}]
    command.run("contacts", "set", "u1", "-", stdin=json.dumps(wanted))
    assert command.told("contacts", "rm", "u1", "a", "x") == {"user": "u1", "removed": 1}
    assert command.run("contacts", "rm", "u1", "a").exit_code == 3
    assert command.run("contacts", "rm", "u1").stdout == "removed 1 contact of u1\n"
    assert command.run("contacts", "rm", "u1").exit_code == 3


def test_import__stores_line_by_line(command: CommandLine) -> None:
    """A contact is stored beside others, a list replaces those of its channels; again is safe."""
    lines = [
        {"user": "u1", **MINE},
        {"user": "u1", "channel": "mine", "address": "b@c"},
        {"user": "u1", "contacts": [HOOKED]},
    ]
    text = "\n".join(map(json.dumps, lines))
    done = command.run("contacts", "import", "-", stdin=text)
    assert done.exit_code == 0
    assert documents(done.stdout)[0] == {"line": 1, "user": "u1", "status": "stored", "error": None}
    assert sorted(one["address"] for one in listed(command)) == [EMAIL, "b@c", HOOK]
    again = documents(command.run("contacts", "import", "-", stdin=text).stdout)
    assert {one["status"] for one in again} == {"unchanged"}


def test_import__answers_what_it_refuses(command: CommandLine) -> None:
    """A wrong line stops no other; the exit code says whether all were refused."""
    wrong = [{"user": "u 1", **MINE}, {"user": "u1", "channel": "mine"}, MINE, 7]
    text = "\n".join(map(json.dumps, [*wrong, {"user": "u1", **MINE}]))
    done = command.run("contacts", "import", "-", stdin=text)
    assert done.exit_code == 4
    fields = [one["error"] and one["error"]["field"] for one in documents(done.stdout)]
    assert fields == ["user", "address", "user", "", None]
    assert command.run("contacts", "import", "-", stdin=json.dumps(wrong[1])).exit_code == 1


def test_import__without_redis_says_what_is_unknown() -> None:
    """Nothing is known of the lines, and running it again is safe."""
    command = CommandLine(NOWHERE, variables())
    done = command.run("contacts", "import", "-", stdin=json.dumps({"user": "u1", **MINE}))
    assert done.exit_code == 1
    assert done.stdout == ""


def test_rekey__moves_to_the_first_key(server: Server, command: CommandLine) -> None:
    """Afterwards the old key is not needed; what no key opens is 4, and shown with the reason."""
    command.run("contacts", "set", "u1", "-", stdin=json.dumps([MINE]))
    both = command_for(server, **variables(key("k2", 2), key()))
    assert both.told("contacts", "rekey") == {"contacts": 1, "rekeyed": 1, "unreadable": 0}
    new = command_for(server, **variables(key("k2", 2)))
    assert listed(new)[0]["address"] == EMAIL
    done = command.run("contacts", "rekey", "--json")
    assert done.exit_code == 4
    assert json.loads(done.stdout) == {"contacts": 1, "rekeyed": 0, "unreadable": 1}
    (shown,) = listed(command)
    assert shown["unreadable"] == "its key 'k2' is not in contacts.keys"
    assert shown["address"] is None


def test_key__is_an_entry(server: Server) -> None:
    """What is printed can be used as it is, and is another one each time."""
    command = CommandLine(NOWHERE)
    made = command.told("contacts", "key")
    assert made["entry"].startswith(f"{made['id']}:")
    entry = command.run("contacts", "key").stdout.strip()
    assert entry != made["entry"]
    assert listed(command_for(server, **variables(entry))) == []


@pytest.mark.parametrize(
    "arguments", [("ls", "u1"), ("set", "u1", "-"), ("rm", "u1"), ("import", "-"), ("rekey",)]
)
@pytest.mark.parametrize("changed", [{"CONTACTS__KEYS": ""}, {"CONTACTS__LOOKUP": "a:b"}])
def test_contacts__need_keys(arguments: tuple[str, ...], changed: dict[str, str]) -> None:
    """Without keys, and with a lookup of one's own, it is 78."""
    command = CommandLine(NOWHERE, variables() | changed)
    done = command.run("contacts", *arguments, stdin="[]")
    assert done.exit_code == 78
    assert "contacts." in done.stderr


def test_users_show__masks_contacts(server: Server, command: CommandLine) -> None:
    """Addresses and data are masked; without the key it says that there are contacts."""
    command.run("contacts", "set", "u1", "-", stdin=json.dumps([MINE | {"data": {"a": "s3cr3t"}}]))
    (shown,) = command.told("users", "show", "u1")["contacts"]
    assert (shown["address"], shown["data"]) == ("a…@example.com", {"a": "********"})
    text = command.run("users", "show", "u1").stdout
    assert f"  mine {shown['id']}  a…@example.com\n" in text
    assert "s3cr3t" not in text
    bare = command_for(server)
    (shown,) = bare.told("users", "show", "u1")["contacts"]
    assert (shown["channel"], shown["kind"], shown["address"]) == ("mine", "", None)
    assert shown["unreadable"] == "contacts.keys: must be set to store contacts"
    command.run("users", "forget", "u1", "--yes")
    assert listed(command) == []
