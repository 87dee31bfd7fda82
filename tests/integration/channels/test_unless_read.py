"""A channel that sends only what was not read in the feed, with a daemon, Redis and Postgres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from galaxy_notify.feed_store.listing import ListQuery
from tests.support.daemons import DaemonProcess, daemon_on
from tests.support.delays import make_due
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.feed_store import FeedFixture, feed_on, new_item
from tests.support.postgres import Postgres
from tests.support.rules import outcome, prefer
from tests.support.servers import Server
from tests.support.wait import wait_until

BOTH = ["in_app", "later"]
#: Due when the first second is over, which is how long a test has to mark its items.
DELAY_MS = 1000
FAR_MS = 86_400_000


@pytest.fixture
def feed(postgres: Postgres) -> Iterator[FeedFixture]:
    """Give the feed that the daemon asks; what is in it, a test inserts by itself."""
    with feed_on(postgres) as made:
        yield made


def _deployed(server: Server, deploy: Deploy, **channel: Any) -> DeploymentFixture:
    given = {"kind": "log", "delay_ms": FAR_MS, **channel}
    return deploy(
        server,
        worker__channels=["in_app", "later"],
        worker__shards=2,
        limits__max_routes=3,
        channels={"later": given},
    )


@contextmanager
def _daemon(
    deployment: DeploymentFixture,
    server: Server,
    feed: FeedFixture,
    more: Mapping[str, Any] | None = None,
    **channel: Any,
) -> Iterator[DaemonProcess]:
    given = {"kind": "log", "delay_ms": FAR_MS, "unless_read": True, **channel}
    settings: dict[str, Any] = {
        "worker__channels": ["in_app", "later"],
        "worker__shards": 2,
        "limits__max_routes": 3,
        "feed__url": feed.postgres.url,
        "log__format": "json",
    }
    settings |= more or {}
    settings |= {f"channels.later__{name}": value for name, value in given.items()}
    with daemon_on(server, **settings) as process:
        process.wait_for("daemon working")
        yield process


def _read(feed: FeedFixture, made: str, *users: str) -> None:
    """Put a notification into the feed of users, who read it."""
    for user in users:
        feed.insert(new_item(user, made))
        feed.run(feed.store.mark_read(user, [made]))


def _outcomes(deployment: DeploymentFixture, made: str) -> dict[str, str]:
    return {
        member.rpartition(":")[2]: outcome(route)
        for member, route in deployment.routes().items()
        if member.startswith(made) and "/later:" in member
    }


def _due(deployment: DeploymentFixture, made: str) -> None:
    """Have the delayed routes be due now, whatever their delay."""
    due = [member for member in deployment.due("later") if member.startswith(made)]
    make_due(deployment, "later", due)


def _put_off(deployment: DeploymentFixture, made: str) -> set[str]:
    """Return the users whose delayed routes were due, and are due again later, without a lease."""
    found = set()
    for keys in deployment.key_space.all_keys:
        pairs: Any = deployment.client.zrange(keys.schedule("later"), 0, -1, withscores=True)
        for raw, score in pairs:
            member = raw.decode()
            late = float(score) > deployment.route(member).due_at_ms
            if member.startswith(made) and late and float(score).is_integer():
                found.add(member.rpartition(":")[2])
    return found


def _ended(deployment: DeploymentFixture, made: str) -> dict[str, str]:
    waiting = {"pending", "failed"}
    wait_until(
        lambda: waiting.isdisjoint(_outcomes(deployment, made).values()), "the routes have ended"
    )
    return _outcomes(deployment, made)


def test_unless_read__asks_what_each_user_has_read(
    server: Server, deploy: Deploy, feed: FeedFixture
) -> None:
    """In whichever part its routes are; seen is not read, and what is not in the feed neither."""
    deployment = _deployed(server, deploy)
    prefer(deployment, "off", **{"in_app:*": "0"})
    users = ["has", "has-not", "seen", "absent", "off"]
    made = deployment.notify(*users, channels=BOTH)
    elsewhere = deployment.notify("has", channels=["later"])
    _read(feed, made, "has", "off")
    _read(feed, elsewhere, "has")
    feed.insert(new_item("has-not", made), new_item("seen", made))
    feed.run(feed.store.mark_seen("seen", [made]))
    with _daemon(deployment, server, feed):
        for name in (made, elsewhere):
            _due(deployment, name)
        sent = dict.fromkeys(users, "delivered")
        # Where it has no route of `in_app`, the feed is not asked.
        assert _ended(deployment, made) == sent | {"has": "read", "off": "delivered"}
        assert _ended(deployment, elsewhere) == {"has": "delivered"}
    assert deployment.totals()["skipped:read"] == 1


def test_unless_read__after_a_delay_by_the_clock(
    server: Server, deploy: Deploy, feed: FeedFixture
) -> None:
    """The whole way, without any help: never before the delay is over."""
    deployment = _deployed(server, deploy, delay_ms=DELAY_MS)
    with _daemon(deployment, server, feed, delay_ms=DELAY_MS):
        made = deployment.notify("u1", "u2", channels=BOTH)
        assert _ended(deployment, made) == {"u1": "delivered", "u2": "delivered"}
    for member, route in deployment.routes().items():
        if "/later:" in member:
            assert route.at_ms >= route.due_at_ms


def test_unless_read__while_postgres_is_away(
    server: Server, deploy: Deploy, feed: FeedFixture
) -> None:
    """It waits without an attempt; what was read before is known again when Postgres is back."""
    deployment = _deployed(server, deploy)
    made = deployment.notify("u1", "u2", channels=BOTH)
    _read(feed, made, "u1")
    without = deployment.notify("u3", channels=["later"])
    with _daemon(deployment, server, feed):
        feed.postgres.kill()
        _due(deployment, made)
        _due(deployment, without)
        # Nobody can have read it, so Postgres is not needed.
        assert _ended(deployment, without) == {"u3": "delivered"}
        wait_until(lambda: _put_off(deployment, made) == {"u1", "u2"}, "both are put off")
        assert _outcomes(deployment, made) == {"u1": "pending", "u2": "pending"}
        feed.postgres.start()
        assert _ended(deployment, made) == {"u1": "read", "u2": "delivered"}
    (route,) = (r for member, r in deployment.routes().items() if member.endswith("later:u2"))
    assert route.attempts == 0
    assert [line.event for line in route.history] == ["delivered"]


@pytest.mark.parametrize("fault", ["away", "no schema"])
def test_unless_read__is_sent_when_it_has_waited_for_too_long(
    server: Server, deploy: Deploy, feed: FeedFixture, fault: str
) -> None:
    """After `max_late_ms`; whether Postgres is away or refuses makes no difference."""
    deployment = _deployed(server, deploy)
    made = deployment.notify("u1", channels=BOTH)
    with _daemon(deployment, server, feed, max_late_ms=1000):
        if fault == "away":
            feed.postgres.kill()
        else:
            feed.change("ALTER TABLE feed_item RENAME TO feed_item_gone")
        _due(deployment, made)
        assert _ended(deployment, made) == {"u1": "delivered"}
    if fault == "away":
        feed.postgres.start()


def test_unless_read__after_a_failed_attempt(
    server: Server, deploy: Deploy, feed: FeedFixture
) -> None:
    """What is read before the next attempt is not sent by that."""
    own = {"kind": "tests.support.own_channels:send_again", "schedule_ms": [FAR_MS]}
    deployment = _deployed(server, deploy, **own)
    made = deployment.notify("u1", "u2", channels=BOTH)
    lookup = {"contacts__lookup": "tests.support.own_channels:a_contact"}
    with _daemon(deployment, server, feed, lookup, **own):
        _due(deployment, made)
        wait_until(
            lambda: _outcomes(deployment, made) == {"u1": "failed", "u2": "failed"}, "both failed"
        )
        _read(feed, made, "u1")
        _due(deployment, made)
        assert _ended(deployment, made) == {"u1": "read", "u2": "delivered"}


def test_escalation__through_the_feed(server: Server, deploy: Deploy, feed: FeedFixture) -> None:
    """The daemon writes the feed itself: who reads there is not sent to, who does not, is."""
    deployment = _deployed(server, deploy)
    with _daemon(deployment, server, feed, {"feed__enabled": True}):
        made = deployment.notify("u1", "u2", channels=BOTH)
        wait_until(
            lambda: [feed.ids(user) for user in ("u1", "u2")] == [[made]] * 2, "both have it"
        )
        feed.run(feed.store.mark_read("u1", [made]))
        _due(deployment, made)
        assert _ended(deployment, made) == {"u1": "read", "u2": "delivered"}
        wait_until(lambda: _via(feed, "u2") == ["later"], "the feed says by what it was sent")
    assert _via(feed, "u1") == []


def _via(feed: FeedFixture, user: str) -> list[str]:
    (item,) = feed.run(feed.store.list(user, ListQuery())).items
    return [*item.delivered_via]
