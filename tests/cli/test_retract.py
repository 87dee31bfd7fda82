"""``retract``: what was delivered is taken back, in Redis and in Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from galaxy_notify.feed import Feed
from galaxy_notify.model.live_event import LiveEvent, Retraction
from galaxy_notify.redis_inspect.recent import read_recent
from galaxy_notify.redis_state.deployment import Deployment
from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.deployment import DeploymentFixture
from tests.support.direct_feeds import PLAIN, items
from tests.support.postgres import Postgres
from tests.support.recent import deliver_named
from tests.support.servers import Server

ID = f"{7:032x}"
NO_POSTGRES = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
def deployment(server: Server) -> Iterator[DeploymentFixture]:
    """Give a deployment of two shards."""
    with closing(DeploymentFixture(server.url, worker__shards=2)) as made:
        yield made


@pytest.fixture
def command(server: Server, feed_database: Postgres) -> CommandLine:
    """Give the command line of a deployment with a feed."""
    return command_for(server, FEED__URL=feed_database.url, WORKER__SHARDS="2")


@pytest.fixture
def feed(server: Server, deployment: DeploymentFixture, feed_database: Postgres) -> Iterator[Feed]:
    """Give its feed."""
    with Feed.from_url(feed_database.url, redis=server.url) as opened:
        yield opened


def recent(deployment: DeploymentFixture, user: str) -> list[LiveEvent | Retraction | None]:
    """Return what the recent list of a user holds."""
    here = Deployment(deployment.client, deployment.key_space)
    return [entry.event for entry in read_recent(here, user, 100).entries]


def test_retract__takes_back_what_was_delivered(
    command: CommandLine, deployment: DeploymentFixture, feed: Feed
) -> None:
    """It leaves feeds, counts and streams of all its users; twice is as once."""
    feed.publish_many({"user": user, **PLAIN, "notification_id": ID} for user in ("u1", "u2"))
    feed.publish("u1", **PLAIN)
    expected = {"id": ID, "users": 2, "cancelled": 0, "unknown": False}
    assert command.told("retract", ID) == expected
    assert [len(items(feed, user)) for user in ("u1", "u2")] == [1, 0]
    assert [feed.counts(user).unread for user in ("u1", "u2")] == [1, 0]
    assert recent(deployment, "u2") == [Retraction(ID)] * 2
    # Whatever names a part, a route or an event of it names the notification.
    assert command.run("retract", f"{ID}/in_app:u1#2").stdout == (
        "retracted from 2 users; cancelled 0 waiting\n"
    )
    assert recent(deployment, "u2") == [Retraction(ID)] * 2


def test_retract__before_the_delivery(
    command: CommandLine, deployment: DeploymentFixture, feed: Feed
) -> None:
    """Waiting routes are cancelled; what is on its way all the same is not shown, nor counted."""
    made = deployment.notify("u1", "u2", due_at=2 * 10**12)
    done = command.told("retract", made)
    assert done == {"id": made, "users": 2, "cancelled": 2, "unknown": False}
    assert set(deployment.statuses().values()) == {"cancelled"}
    # The stream may have had it when Redis failed over, or another generation of it.
    deliver_named(deployment, "u1", made)
    assert recent(deployment, "u1") == [Retraction(made)]
    assert not feed.publish("u1", **PLAIN, notification_id=made).is_new
    assert (items(feed, "u1"), feed.counts("u1").unread) == ([], 0)
    assert command.told("retract", made) == done
    deployment.assert_sound()


def test_retract__reaches_all_parts(command: CommandLine, deployment: DeploymentFixture) -> None:
    """A notification for more users than a part holds is taken back from each of them."""
    users = [f"u{number}" for number in range(1100)]
    made = deployment.notify(*users, due_at=2 * 10**12)
    assert command.told("retract", made)["users"] == len(users)
    assert [recent(deployment, user) for user in users[::99]] == [[Retraction(made)]] * 12


@pytest.mark.parametrize("name", ["0" * 32, "nope", f"{'0' * 32}/push:u1"])
def test_retract__of_what_nobody_knows(command: CommandLine, feed: Feed, name: str) -> None:
    """Neither Redis nor the feed has it: exit code 3, and nothing is written."""
    done = command.run("retract", name)
    assert (done.exit_code, done.stdout, done.stderr) == (3, "", f"unknown: {name}\n")
    done = command.run("retract", name, "--json")
    assert (done.exit_code, '"unknown":true' in done.stdout.replace(" ", "")) == (3, True)


def test_retract__of_a_foreign_key(
    command: CommandLine, deployment: DeploymentFixture, feed: Feed
) -> None:
    """Where something else is in place of the record, the feed knows the users."""
    feed.publish("u1", **PLAIN, notification_id=ID)
    deployment.client.set(deployment.key_space.keys_for(ID).notification(ID), "foreign")
    assert command.told("retract", ID)["users"] == 1
    assert (items(feed, "u1"), recent(deployment, "u1")) == ([], [Retraction(ID)] * 2)


def test_retract__leaves_lists_that_are_sound(
    command: CommandLine, deployment: DeploymentFixture, feed: Feed
) -> None:
    """`fsck` finds nothing; people see in the list what was taken back."""
    feed.publish("u1", **PLAIN, notification_id=ID)
    command.told("retract", ID)
    assert command.told("fsck")["findings"] == []
    shown = command.run("stream", "user", "u1").stdout.splitlines()
    assert ["retracted: " in line for line in shown] == [True, True]


def test_retract__without_a_feed(server: Server, deployment: DeploymentFixture) -> None:
    """Streams alone may have it."""
    made = deployment.notify("u1", due_at=2 * 10**12)
    command = command_for(server, WORKER__SHARDS="2")
    assert command.told("retract", made)["users"] == 1
    assert recent(deployment, "u1") == [Retraction(made)]


def test_retract__without_postgres(
    server: Server, command: CommandLine, deployment: DeploymentFixture, feed: Feed
) -> None:
    """The half in Redis is done, the message says so, and a repeat does the rest."""
    made = deployment.notify("u1")
    deliver_named(deployment, "u1", made)
    feed.publish("u1", **PLAIN, notification_id=made)
    half = command_for(server, FEED__URL=NO_POSTGRES, WORKER__SHARDS="2")
    done = half.run("retract", made)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "retracted in the streams, not in the feed; repeat it: Postgres is una" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert recent(deployment, "u1") == [Retraction(made)] * 2
    assert len(items(feed, "u1")) == 1
    done = half.run("retract", ID)
    assert done.exit_code == 1
    assert "nothing is retracted; repeat it: " in done.stderr
    assert command.run("retract", made).exit_code == 0
    assert items(feed, "u1") == []


def test_retract__without_redis(
    command: CommandLine, deployment: DeploymentFixture, feed: Feed, feed_database: Postgres
) -> None:
    """The half in Postgres is done, the message says so, and a repeat does the rest."""
    feed.publish("u1", **PLAIN, notification_id=ID)
    half = CommandLine(NOWHERE, {"FEED__URL": feed_database.url})
    done = half.run("retract", ID)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "retracted in the feed, not in the streams; repeat it: Redis is unavail" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert items(feed, "u1") == []
    assert isinstance(recent(deployment, "u1")[0], LiveEvent)
    done = half.run("retract", "0" * 32)
    assert done.exit_code == 1
    assert "nothing is retracted; repeat it: " in done.stderr
    assert command.run("retract", ID).exit_code == 0
    assert recent(deployment, "u1") == [Retraction(ID)] * 2


def test_retract__away_altogether() -> None:
    """Neither answers: nothing is done, and the message says so."""
    done = CommandLine(NOWHERE, {"FEED__URL": NO_POSTGRES}).run("retract", ID)
    assert done.exit_code == 1
    assert "nothing is retracted; repeat it: " in done.stderr
