"""``users forget``: what is kept of a user by name is deleted, and nothing of anybody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from galaxy_notify.feed import Feed
from galaxy_notify.model.feed import Counts
from galaxy_notify.operations import forgetting
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.attempts import EndpointAttempt, RecordedAttempt, attempt_record
from galaxy_notify.redis_state.contacts import ContactChange, contact_change
from galaxy_notify.redis_state.unread import UserCounts, unread_mark
from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.deployment import DeploymentFixture
from tests.support.direct_feeds import PLAIN, items
from tests.support.postgres import Postgres
from tests.support.recent import attend, deliver
from tests.support.servers import Server

NO_POSTGRES = "postgresql://nobody@127.0.0.1:1/none"
LATER = {"due_at": 2 * 10**12}
KEYS = ("recent_list", "presence", "unread_mark", "preferences", "contacts", "tickets", "attempts")


@pytest.fixture
def deployment(server: Server) -> Iterator[DeploymentFixture]:
    """Give a deployment of one shard in which routes can die."""
    with closing(DeploymentFixture(server.url)) as made:
        yield made


@pytest.fixture
def command(server: Server, feed_database: Postgres) -> CommandLine:
    """Give the command line of a deployment with a feed."""
    return command_for(server, FEED__URL=feed_database.url)


@pytest.fixture
def feed(server: Server, deployment: DeploymentFixture, feed_database: Postgres) -> Iterator[Feed]:
    """Give its feed."""
    with Feed.from_url(feed_database.url, redis=server.url) as opened:
        yield opened


def _fill(deployment: DeploymentFixture, feed: Feed, user: str) -> None:
    """Keep something of everything of a user."""
    keys = deployment.keys
    deployment.notifier.preferences.silence(user)
    deliver(deployment, user, 1, 2)
    run_sync(deployment.client, contact_change(keys, user, [ContactChange("hooks", "a", b"1")]))
    attempt = RecordedAttempt(user, "hooks/a", EndpointAttempt(1, "n/hooks", "chat", 1, "gone"))
    run_sync(deployment.client, attempt_record(keys, [attempt]))
    run_sync(deployment.client, unread_mark(keys, [UserCounts(user, Counts(1, 1, 1, 1))]))
    deployment.client.zadd(keys.tickets(user), {"digest": 2e12})
    feed.publish_many({"user": user, **PLAIN} for _ in range(3))
    attend(deployment, "gw-1", user)


def _names(deployment: DeploymentFixture, user: str) -> set[str]:
    """Return the keys whose names have that of a user."""
    found: Any = deployment.client.keys(f"*:{user}*")
    return {key.decode() for key in found}


def test_forget__deletes_all_of_one_user(
    command: CommandLine, deployment: DeploymentFixture, feed: Feed
) -> None:
    """Keys, rows, waiting routes and dead letters; those of another user stay as they are."""
    deployment.bury(("push:u1", "push:u2"))
    deployment.notify("u1", "u2", **LATER)
    for user in ("u1", "u2"):
        _fill(deployment, feed, user)
    before = _names(deployment, "u2")
    done = command.told("users", "forget", "u1", "--yes")
    assert done["keys"] == dict.fromkeys(KEYS, True)
    assert [done[name] for name in ("cancelled", "purged", "rows")] == [1, 1, 3]
    assert (done["user"], done["complete"]) == ("u1", True)
    assert _names(deployment, "u1") == set()
    assert (items(feed, "u1"), feed.counts("u1")[:3]) == ([], (0, 0, 0))
    assert _names(deployment, "u2") == before
    assert len(items(feed, "u2")) == 3
    states = {"push:u1": {"cancelled", "purged"}, "push:u2": {"pending", "dead_letter"}}
    for route, wanted in states.items():
        routes = deployment.routes().items()
        found = {str(one.status) for name, one in routes if name.endswith(route)}
        assert found == wanted
    deployment.assert_sound()


def test_forget__again_finds_nothing(
    command: CommandLine, deployment: DeploymentFixture, feed: Feed
) -> None:
    """A repeat is no error, and a user of whom nothing is kept is none either."""
    _fill(deployment, feed, "u1")
    command.told("users", "forget", "u1", "--yes")
    done = command.told("users", "forget", "u1", "--yes")
    assert done["keys"] == dict.fromkeys(KEYS, False)
    assert [done[name] for name in ("cancelled", "purged", "rows")] == [0, 0, 0]


def test_forget__says_what_ends_by_itself(command: CommandLine, feed: Feed) -> None:
    """People read what was deleted, and until when something may still name the user."""
    feed.publish("u1", **PLAIN)
    text = command.run("users", "forget", "u1", "--yes").stdout
    assert "deleted: recent list, unread mark; 1 feed row\n" in text
    for what in ("records of notifications: ", "cooldowns: ", "collapse keys: 7 d", "backups"):
        assert what in text


def test_forget__asks(command: CommandLine, deployment: DeploymentFixture, feed: Feed) -> None:
    """Without a terminal it needs --yes, and deletes nothing without it."""
    _fill(deployment, feed, "u1")
    done = command.run("users", "forget", "u1")
    assert done.exit_code == 2
    assert "delete everything that is kept of u1?" in done.stderr
    assert len(items(feed, "u1")) == 3


def test_forget__without_a_feed(server: Server, deployment: DeploymentFixture) -> None:
    """There are no rows to delete."""
    deployment.notifier.preferences.silence("u1")
    done = command_for(server).told("users", "forget", "u1", "--yes")
    assert (done["rows"], done["keys"]["preferences"]) == (None, True)


def test_forget__without_postgres(
    server: Server, command: CommandLine, deployment: DeploymentFixture, feed: Feed
) -> None:
    """The half in Redis is done, the message says so, and a repeat does the rest."""
    _fill(deployment, feed, "u1")
    half = command_for(server, FEED__URL=NO_POSTGRES).run("users", "forget", "u1", "--yes")
    assert (half.exit_code, half.stdout) == (1, "")
    assert "deleted in Redis, not in Postgres; repeat it: Postgres is" in half.stderr
    assert _names(deployment, "u1") == set()
    assert command.told("users", "forget", "u1", "--yes")["rows"] == 3


def test_forget__without_redis(
    command: CommandLine, deployment: DeploymentFixture, feed: Feed, feed_database: Postgres
) -> None:
    """The half in Postgres is done, the message says so, and a repeat does the rest."""
    _fill(deployment, feed, "u1")
    away = CommandLine(NOWHERE, {"FEED__URL": feed_database.url})
    half = away.run("users", "forget", "u1", "--yes")
    assert (half.exit_code, half.stdout) == (1, "")
    assert "deleted in Postgres, not in Redis; repeat it: redis is away" in half.stderr
    assert items(feed, "u1") == []
    assert command.told("users", "forget", "u1", "--yes")["keys"]["preferences"]


def test_forget__of_a_long_list_says_that_it_is_not_complete(
    deployment: DeploymentFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass over the list is bounded; what was found before the bound is done."""
    monkeypatch.setattr(forgetting, "MOST_PAGES", 1)
    for _ in range(150):
        deployment.notify("u1", **LATER)
    done = forgetting.end_routes(deployment.connected, "u1", "cli:ann@desk")
    assert (done.complete, done.cancelled) == (False, 100)
    assert forgetting.end_routes(deployment.connected, "u1", "cli:ann@desk").cancelled == 50
    done = forgetting.end_routes(deployment.connected, "u1", "cli:ann@desk", lambda: True)
    assert (done.complete, done.cancelled) == (True, 0)
