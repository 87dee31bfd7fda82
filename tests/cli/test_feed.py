"""``feed`` and its commands: the schema, the items of a user, their counts, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.feed import Feed
from galaxy_notify.feed_store import migrations
from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.dead_letters import DeadLetterFixture
from tests.support.direct_feeds import PLAIN
from tests.support.postgres import Postgres
from tests.support.servers import Server

ID = "0123456789abcdef" * 2
COMMANDS = (
    ("ls", "u1"),
    ("counts", "u1"),
    ("read", "u1", "--all"),
    ("reconcile",),
    ("restored",),
    ("migrate",),
)


@pytest.fixture
def command(server: Server, feed_database: Postgres) -> CommandLine:
    """Give the command line of a deployment with a feed."""
    return command_for(server, FEED__URL=feed_database.url)


@pytest.fixture
def feed(server: Server, feed_database: Postgres) -> Iterator[Feed]:
    """Give its feed, to publish in."""
    with Feed.from_url(feed_database.url, redis=server.url) as opened:
        yield opened


def lines(command: CommandLine, *arguments: str) -> list[Any]:
    """Run a command with ``--json`` and return its documents, a line each."""
    return [json.loads(line) for line in command.run(*arguments, "--json").stdout.splitlines()]


def test_ls__shows_items_newest_first(command: CommandLine, feed: Feed) -> None:
    """An item a line, as the list of `Feed` has it; a page continues behind its cursor."""
    for number in range(5):
        feed.publish("u1", **PLAIN, title=f"Turn {number}")
    feed.mark_read("u1", [item.id for item in feed.list("u1").items[:2]])
    found = lines(command, "feed", "ls", "u1")
    assert found == [item.document() for item in feed.list("u1").items]
    assert [one["title"] for one in found] == [f"Turn {n}" for n in (4, 3, 2, 1, 0)]
    first = command.run("feed", "ls", "u1", "--limit", "2", "--json")
    assert [json.loads(one)["title"] for one in first.stdout.splitlines()] == ["Turn 4", "Turn 3"]
    assert "2 shown, there may be more: --cursor " in first.stderr
    cursor = first.stderr.split()[-1]
    rest = lines(command, "feed", "ls", "u1", "--cursor", cursor)
    assert [one["title"] for one in rest] == ["Turn 2", "Turn 1", "Turn 0"]
    unread = lines(command, "feed", "ls", "u1", "--unread")
    assert [one["title"] for one in unread] == ["Turn 2", "Turn 1", "Turn 0"]


def test_ls__is_a_table_for_people(command: CommandLine, feed: Feed) -> None:
    """Ids are whole, to be copied; what is in a title cannot steer the terminal."""
    receipt = feed.publish("u1", **PLAIN, title="\x1b[2JTurn\n1", severity="critical")
    done = command.run("feed", "ls", "u1")
    header, row = done.stdout.splitlines()
    assert header.split() == ["id", "came", "type", "severity", "state", "title"]
    assert row.startswith(str(receipt.notification_id))
    assert "\x1b" not in row
    assert " critical " in row
    assert " unseen " in row


def test_ls__shows_the_body_of_an_item_without_a_title(command: CommandLine, feed: Feed) -> None:
    """As the user sees it; what has neither has a dash."""
    feed.publish("u1", **PLAIN, body="Your move,\ncaptain")
    feed.publish("u1", **PLAIN)
    _, plain, row = command.run("feed", "ls", "u1").stdout.splitlines()
    assert row.endswith("Your move, captain")
    assert plain.endswith("–")


def test_ls__reads_many_pages(command: CommandLine, feed: Feed) -> None:
    """More than a page of Postgres is put together, without a hole."""
    feed.publish_many({"user": "u1", **PLAIN, "title": str(n)} for n in range(450))
    found = lines(command, "feed", "ls", "u1", "--limit", "430")
    assert [one["title"] for one in found] == [str(n) for n in range(449, 19, -1)]


def test_ls__without_items(command: CommandLine) -> None:
    """An empty list is exit code 3, in words and as JSON."""
    done = command.run("feed", "ls", "u1")
    assert (done.exit_code, done.stdout, done.stderr) == (3, "", "nothing matched\n")
    done = command.run("feed", "ls", "u1", "--json")
    assert (done.exit_code, done.stdout) == (3, "")


def test_counts__of_any_user(command: CommandLine, feed: Feed) -> None:
    """A user of whom nothing is known has none."""
    feed.publish("u1", **PLAIN)
    feed.publish("u1", **PLAIN)
    feed.mark_seen("u1", all=True)
    assert command.told("feed", "counts", "u1") == {"user": "u1", **feed.counts("u1").document()}
    assert command.run("feed", "counts", "u1").stdout == "u1: 2 unread, 0 unseen\n"
    assert command.told("feed", "counts", "u2")["unread"] == 0


def test_read__marks_and_counts(command: CommandLine, feed: Feed) -> None:
    """By ids or all; again it changes nothing, and so does an unknown id."""
    ids = [str(feed.publish("u1", **PLAIN).notification_id) for _ in range(3)]
    assert command.told("feed", "read", "u1", ids[0], ID)["unread"] == 2
    version = feed.counts("u1").version
    assert command.told("feed", "read", "u1", ids[0])["version"] == version
    done = command.run("feed", "read", "u1", "--all")
    assert (done.exit_code, done.stdout) == (0, "u1: 0 unread, 0 unseen\n")
    assert command.run("feed", "ls", "u1", "--unread").exit_code == 3


def test_read__marks_while_redis_is_away(feed_database: Postgres, feed: Feed) -> None:
    """Postgres has it; that Redis does not is reported on standard error alone."""
    feed.publish("u1", **PLAIN)
    command = CommandLine(NOWHERE, {"FEED__URL": feed_database.url})
    done = command.run("feed", "read", "u1", "--all", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["unread"] == 0
    assert "redis unavailable" in done.stderr


def test_read__reaches_the_mark(
    command: CommandLine, feed: Feed, deployment: DeadLetterFixture
) -> None:
    """The counts are in Redis when the command ends."""
    feed.publish("u1", **PLAIN)
    found = command.told("feed", "read", "u1", "--all")
    key = deployment.key_space.keys_of_user("u1").unread("u1")
    assert deployment.client.hget(key, "version") == str(found["version"]).encode()


def test_arguments__are_wrong_usage(command: CommandLine) -> None:
    """Users, ids, cursors and combinations that cannot be are named in one line."""
    for arguments, reason in (
        (("ls", "a b"), "user: must match"),
        (("ls", "u1", "--cursor", "?"), "--cursor"),
        (("ls", "u1", "--limit", "0"), "--limit"),
        (("read", "u1"), "--all"),
        (("read", "u1", "--all", ID), "--all"),
        (("read", "u1", "x"), "ids[0]: must be the id of a notification"),
        (("reconcile", "u1", ""), "user: must match"),
        (("migrate", "--sql", "--json"), "--sql"),
        (("nothing",), "No such command"),
    ):
        done = command.run("feed", *arguments)
        assert done.exit_code == 2, arguments
        assert reason in done.stderr


def test_reconcile__finds_and_corrects(
    command: CommandLine, feed: Feed, feed_database: Postgres
) -> None:
    """Exit code 1 where counts are wrong, 0 once they were corrected; only named users change."""
    for user in ("u1", "u2", "u3"):
        feed.publish(user, **PLAIN)
    done = command.run("feed", "reconcile")
    assert (done.exit_code, done.stdout) == (0, "all counts are right\n")
    with feed_database.client() as client:
        client.execute("UPDATE feed_user SET unread = 7 WHERE user_id <> 'u3'")
    found = command.run("feed", "reconcile")
    assert found.exit_code == 1
    assert "wrong  u1: 7 unread, 1 unseen stored; 1 and 1 counted" in found.stdout
    assert "galaxy-notify feed reconcile --fix" in found.stdout
    assert command.run("feed", "reconcile", "u3").exit_code == 0
    fixed = command.told("feed", "reconcile", "--fix", "u1")
    assert (fixed["ok"], fixed["found"], fixed["mended"]) == (True, 1, 1)
    (finding,) = fixed["findings"]
    assert (finding["user"], finding["stored"]["unread"], finding["real"]["unread"]) == ("u1", 7, 1)
    assert command.run("feed", "reconcile", "u1").exit_code == 0
    done = command.run("feed", "reconcile", "--fix")
    assert (done.exit_code, done.stdout.startswith("corrected  u2:")) == (0, True)
    assert command.told("feed", "reconcile")["ok"]


def test_restored__begins_a_new_epoch(command: CommandLine, feed: Feed) -> None:
    """The counts of every user are of the new epoch."""
    before = feed.counts("u1").epoch
    epoch = command.told("feed", "restored")["epoch"]
    assert epoch > before
    assert feed.counts("u1").epoch == epoch
    assert command.run("feed", "restored").stdout.startswith("epoch ")


def test_migrate__makes_the_schema_once(server: Server, postgres: Postgres) -> None:
    """Before it every command names it; after it they work; again it does nothing."""
    command = command_for(server, FEED__URL=postgres.url)
    for arguments in COMMANDS[:-1]:
        done = command.run("feed", *arguments)
        assert done.exit_code == 78, arguments
        assert "run galaxy-notify feed migrate" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    steps = [step.name for step in migrations.shipped()]
    assert command.told("feed", "migrate") == {"applied": steps}
    assert command.told("feed", "migrate") == {"applied": []}
    assert command.run("feed", "migrate").stdout == "the schema is up to date\n"
    assert command.run("feed", "counts", "u1").exit_code == 0


def test_migrate__prints_its_sql(server: Server, postgres: Postgres) -> None:
    """What it prints makes the schema; it needs no settings."""
    done = CommandLine(server.url).run("feed", "migrate", "--sql")
    assert done.exit_code == 0
    with postgres.client() as client:
        client.execute(done.stdout.encode())
    command = command_for(server, FEED__URL=postgres.url)
    assert command.told("feed", "migrate") == {"applied": []}


def test_migrate__refuses_a_newer_schema(command: CommandLine, feed_database: Postgres) -> None:
    """A step that this version does not know is exit code 78, in one line."""
    with feed_database.client() as client:
        client.execute("INSERT INTO feed_migration (number, name, checksum) VALUES (9999, 'x', '')")
    done = command.run("feed", "migrate")
    assert done.exit_code == 78
    assert "9999" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_feed__is_one_line(server: Server) -> None:
    """Every command of a deployment without a feed is exit code 78."""
    command = CommandLine(server.url)
    for arguments in COMMANDS:
        done = command.run("feed", *arguments)
        assert done.exit_code == 78
        assert "feed.url: not set" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_outage__is_one_line(server: Server) -> None:
    """Postgres away is exit code 1, and named as what it is."""
    command = CommandLine(server.url, {"FEED__URL": "postgresql://ann@127.0.0.1:1/feed"})
    for arguments in COMMANDS:
        done = command.run("feed", *arguments)
        assert done.exit_code == 1
        assert done.stderr.startswith("galaxy-notify: Postgres is unavailable: ")
        assert len(done.stderr.splitlines()) == 1
