"""``presence``, ``users`` and ``stream user``: who is connected, and what is kept of a user."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.keys import inbox_key
from galaxy_notify.redis_state.unread import UserCounts, unread_mark
from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.deployment import DeploymentFixture
from tests.support.recent import CREATED_MS, attend, deliver, retract
from tests.support.servers import Server

NOTHING: dict[str, Any] = {"*": None, "types": {}, "silenced": False, "quiet": None}


@pytest.fixture
def deployment(any_server: Server) -> Iterator[DeploymentFixture]:
    """Give a deployment of two shards."""
    with closing(DeploymentFixture(any_server.url, worker__shards=2)) as made:
        yield made


@pytest.fixture
def command(any_server: Server) -> CommandLine:
    """Give its command line."""
    return command_for(any_server, WORKER__SHARDS="2")


def lines(command: CommandLine, *arguments: str) -> list[Any]:
    """Run a command with ``--json`` and return its documents, a line each."""
    return [json.loads(line) for line in command.run(*arguments, "--json").stdout.splitlines()]


def test_presence_ls__has_every_connected_user_once(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """Users of all shards are listed with their instances; one whose presence expired is not."""
    done = command.run("presence", "ls")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no user is connected" in done.stderr
    users = [f"u{number}" for number in range(30)]
    attend(deployment, "gw-1", *users)
    attend(deployment, "gw-2", "u7")
    late = deployment.key_space.keys_of_user("late")
    deployment.client.zadd(late.presence("late"), {"gw-1": deployment.now() - 1})
    found = lines(command, "presence", "ls")
    assert sorted(one["user"] for one in found) == sorted(users)
    (both,) = [one for one in found if one["user"] == "u7"]
    assert [one["id"] for one in both["instances"]] == ["gw-1", "gw-2"]
    assert all(one["online"] for one in found)
    assert "connected to gw-1 (expires in 2" in command.run("presence", "ls").stdout


def test_presence_ls__stops_at_its_limit(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """It says so only where there are more."""
    attend(deployment, "gw-1", *(f"u{number}" for number in range(5)))
    done = command.run("presence", "ls", "--limit", "4")
    assert (len(done.stdout.splitlines()), done.exit_code) == (4, 0)
    assert "4 shown, there are more: --limit" in done.stderr
    assert command.run("presence", "ls", "--limit", "5").stderr == ""


def test_presence_show__is_3_when_offline(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """A user without a connection is offline, and so is one with a key of another type."""
    done = command.run("presence", "show", "u1")
    assert (done.exit_code, done.stdout) == (3, "u1  offline\n")
    assert command.told("presence", "show", "u1") == {
        "user": "u1",
        "online": False,
        "instances": [],
    }
    attend(deployment, "gw-1", "u1")
    told = command.told("presence", "show", "u1")
    ((instance,),) = [told["instances"]]
    assert (told["online"], instance["id"]) == (True, "gw-1")
    assert deployment.now() < instance["expires_at_ms"] <= deployment.now() + 30_000
    assert command.run("presence", "show", "u1").exit_code == 0
    key = deployment.key_space.keys_of_user("u1").presence("u1")
    deployment.client.delete(key)
    deployment.client.set(key, "foreign")
    assert command.run("presence", "show", "u1").exit_code == 3
    assert command.run("presence", "ls").exit_code == 0


def test_stream_user__shows_the_recent_list(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """Each event has its place, its cursor and what it is; what it says only where asked for."""
    done = command.run("stream", "user", "u1")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "no recent events" in done.stderr
    deliver(deployment, "u1", 1, 2, 3)
    found = lines(command, "stream", "user", "u1")
    assert [one["offset"] for one in found] == [1, 2, 3]
    last = found[-1]
    epoch, offset, check = last.pop("cursor").split(".")
    assert (epoch[:3], offset, len(check)) == ("e1x", "3", 4)
    assert last == {
        "offset": 3,
        "notification_id": f"{3:032x}",
        "event_id": f"{3:032x}/push:u1",
        "type": "game.turn",
        "severity": "info",
        "title": "Turn 3",
        "created_at_ms": CREATED_MS,
    }
    (newest,) = lines(command, "stream", "user", "u1", "--limit", "1", "--payload")
    assert (newest["offset"], newest["body"], newest["data"]) == (3, "Go", {"turn": 3})
    done = command.run("stream", "user", "u1", "--limit", "1", "--payload")
    assert done.exit_code == 0
    assert "Turn 3" in done.stdout
    assert '{"body": "Go", "data": {"turn": 3}}' in done.stdout
    retract(deployment, "u1", 2)
    (newest,) = lines(command, "stream", "user", "u1", "--limit", "1")
    assert (newest["offset"], newest["retracted"]) == (4, f"{2:032x}")
    assert "retracted: 0" in command.run("stream", "user", "u1", "--limit", "1").stdout


def test_stream_user__shows_what_it_cannot_read(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """An entry of another program is named in its place; a key of another type is 1."""
    key = deployment.key_space.keys_of_user("u1").recent("u1")
    deliver(deployment, "u1", 1)
    deployment.client.rpush(key, "12345678", "no place", "12345678", "e1x0.2.abcd \xc1")
    first, second, third = lines(command, "stream", "user", "u1")
    assert first["type"] == "game.turn"
    assert (second["offset"], second["error"][:5]) == (None, "no en")
    assert (third["offset"], third["error"][:6]) == (2, "event:")
    assert command.run("stream", "user", "u1").stdout.count("unreadable") == 2
    deployment.client.delete(key)
    deployment.client.set(key, "foreign")
    done = command.run("stream", "user", "u1")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the key has another type" in done.stderr


def test_users_show__has_all_that_is_kept(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """Preferences, presence and the newest events; of an unknown user that there is nothing."""
    told = command.told("users", "show", "u1")
    assert told == {
        "user": "u1",
        "preferences": NOTHING,
        "unreadable": [],
        "contacts": [],
        "presence": {"online": False, "instances": []},
        "counts": None,
        "recent": {"top": None, "length": 0, "ttl_ms": None, "error": None, "events": []},
    }
    deliver(deployment, "u1", *range(1, 8))
    attend(deployment, "gw-1", "u1")
    deployment.notifier.preferences.silence("u1")
    told = command.told("users", "show", "u1")
    assert told["preferences"]["silenced"] is True
    assert told["presence"]["instances"][0]["id"] == "gw-1"
    assert told["recent"]["length"] == 7
    assert [one["offset"] for one in told["recent"]["events"]] == [3, 4, 5, 6, 7]
    assert told["recent"]["top"] == told["recent"]["events"][-1]["cursor"]
    assert 0 < told["recent"]["ttl_ms"] <= 60_000
    shown = command.run("users", "show", "u1").stdout
    for part in ("u1  silenced", "connected to gw-1", "recent list: 7 events", "Turn 7"):
        assert part in shown


def test_users_logout__voids_tokens_and_tickets(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """It is the same for a user of whom nothing is known, and may be repeated."""
    keys = deployment.key_space.keys_of_user("u1")
    for _ in range(2):
        deployment.client.zadd(keys.tickets("u1"), {"digest": 2e12})
        before = deployment.now()
        told = command.told("users", "logout", "u1")
        assert told == {"user": "u1", "instances": 0, "informed": 0}
        mark: Any = deployment.client.get(keys.logout("u1"))
        assert before <= int(mark) <= deployment.now()
        assert not deployment.client.exists(keys.tickets("u1"))
        assert deployment.client.pttl(keys.logout("u1")) > 3_600_000


def test_users_logout__counts_the_gateways_that_were_not_told(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """One without an inbox finds out by itself: the command has done its work."""
    attend(deployment, "gw-1", "u1")
    attend(deployment, "gw-2", "u1")
    deployment.client.xadd(inbox_key("gn", "gw-2"), {"made": "1"})
    assert command.told("users", "logout", "u1")["informed"] == 1
    assert deployment.client.xlen(inbox_key("gn", "gw-2")) == 2
    assert not deployment.client.exists(inbox_key("gn", "gw-1"))
    done = command.run("users", "logout", "u1")
    assert done.exit_code == 0
    assert "connected to 2 gateways" in done.stdout
    assert "within ten seconds" in done.stdout


def test_users_logout__without_redis_is_1() -> None:
    """Nothing is known to be done, and it says so."""
    done = CommandLine(NOWHERE).run("users", "logout", "u1")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr


@pytest.mark.parametrize("words", ["presence show", "users show", "users logout", "stream user"])
def test_user__that_no_recipient_can_have_is_refused(words: str) -> None:
    """Such a name is wrong usage, said before Redis is asked."""
    done = CommandLine(NOWHERE).run(*words.split(), "a b")
    assert done.exit_code == 2
    assert "user: " in done.stderr


def test_users_show__has_the_counts_that_redis_remembers(
    command: CommandLine, deployment: DeploymentFixture
) -> None:
    """Those of the user's mark; without one that can be read, nothing is said of a feed."""
    keys = deployment.key_space.keys_of_user("u1")
    assert command.told("users", "show", "u1")["counts"] is None
    assert "unread" not in command.run("users", "show", "u1").stdout
    counts = Counts(1200, 1500, 7, 8)
    run_sync(deployment.client, unread_mark(keys, [UserCounts("u1", counts)]))
    assert command.told("users", "show", "u1")["counts"] == counts.document()
    assert "  feed: 1,200 unread, 1,500 unseen\n" in command.run("users", "show", "u1").stdout
    deployment.client.set(keys.unread("u1"), "foreign")
    assert command.told("users", "show", "u1")["counts"] is None
