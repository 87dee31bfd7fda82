"""The feed as programs use it: published once, counted exactly, announced where Redis answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_notify.errors import (
    InvalidQuery,
    SourceFailed,
)
from galaxy_notify.feed import Feed, FeedRefused, InvalidPublication
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.model.live_event import LiveEvent, Retraction
from galaxy_notify.redis_client.replies import text
from galaxy_notify.redis_inspect.recent import read_recent
from galaxy_notify.redis_state.deployment import Deployment
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.direct_feeds import PLAIN, feed_in, items
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.suite import examples

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
ID = "0123456789abcdef" * 2


@pytest.fixture
def deployment(server: Server, deploy: Deploy) -> DeploymentFixture:
    """Give a deployment beside the feed."""
    return deploy(server)


@pytest.fixture
def feed(postgres: Postgres, deployment: DeploymentFixture) -> Iterator[Feed]:
    """Give an open feed in an empty database."""
    with feed_in(postgres, deployment.settings.redis.url) as opened:
        yield opened


def recent(deployment: DeploymentFixture, user: str) -> list[LiveEvent | Retraction | None]:
    """Return what the recent list of a user holds, as its streams see it."""
    here = Deployment(deployment.client, deployment.key_space)
    return [entry.event for entry in read_recent(here, user, 100).entries]


def mark(deployment: DeploymentFixture, user: str) -> dict[str, int]:
    """Return the unread mark of a user."""
    found = deployment.client.hgetall(deployment.key_space.keys_of_user(user).unread(user))
    return {text(name): int(value) for name, value in found.items()}


def test_publish__is_listed_counted_and_announced(
    feed: Feed, deployment: DeploymentFixture
) -> None:
    """The row, the counts, the mark and the live event say the same."""
    receipt = feed.publish("u1", **PLAIN, title="Your turn", body="Go", data={"turn": [1, None]})
    assert receipt.is_new
    page = feed.list("u1")
    (item,) = page.items
    assert item.notification_id == receipt.notification_id
    assert (item.type, item.producer, item.severity) == ("game.turn", "lobby", "info")
    assert (item.title, item.body, item.data) == ("Your turn", "Go", {"turn": [1, None]})
    assert (item.read_at_ms, item.seen_at_ms, item.archived_at_ms) == (None, None, None)
    assert (page.counts.unread, page.counts.unseen) == (1, 1)
    assert feed.counts("u1") == page.counts
    assert mark(deployment, "u1") == page.counts.document()
    (event,) = recent(deployment, "u1")
    assert event == LiveEvent(
        *(f"{receipt.notification_id}/in_app:u1", "game.turn", "info", "Your turn", "Go"),
        {"turn": [1, None]},
        item.created_at_ms,
    )


def test_publish__again_changes_nothing(feed: Feed, deployment: DeploymentFixture) -> None:
    """A key or an id makes the repeat a duplicate, for its user alone."""
    keyed = {**PLAIN, "idempotency_key": "k"}
    first, second = feed.publish("u1", **keyed), feed.publish("u1", **keyed, title="other")
    assert (first.status, second.status) == ("published", "duplicate")
    assert first.notification_id == second.notification_id == id_for_key("lobby", "k")
    assert feed.publish("u2", **keyed).is_new
    named = {**PLAIN, "notification_id": ID}
    assert [feed.publish("u1", **named).status for _ in range(2)] == ["published", "duplicate"]
    assert feed.counts("u1").unread == 2
    assert len(recent(deployment, "u1")) == 2


def test_publish__refuses_by_the_name_of_the_field(feed: Feed, postgres: Postgres) -> None:
    """What is invalid raises before anything is sent, what Postgres refuses when it does."""
    with pytest.raises(InvalidPublication, match="severity: must be info"):
        feed.publish("u1", **PLAIN, severity="loud")
    with pytest.raises(InvalidPublication, match="user: must match"):
        feed.publish("", **PLAIN)
    with pytest.raises(InvalidPublication, match="body: the content has") as raised:
        feed.publish("u1", **PLAIN, body="x" * 300_000)
    assert raised.value.code == "too_large"
    with postgres.client() as client:
        client.execute("ALTER TABLE feed_item ADD CHECK (title <> 'no')")
    with pytest.raises(FeedRefused, match="Postgres refuses"):
        feed.publish("u1", **PLAIN, title="no")
    assert feed.counts("u1").unread == 0


def test_publish_many__one_refusal_never_stops_its_neighbours(
    feed: Feed, postgres: Postgres, deployment: DeploymentFixture
) -> None:
    """Each publication has its receipt in its place, whoever refuses it."""
    with postgres.client() as client:
        client.execute("ALTER TABLE feed_item ADD CHECK (title <> 'no')")
    wanted: list[Any] = [
        {"user": f"u{n % 7}", **PLAIN, "title": "no" if n % 100 == 50 else f"t{n}"}
        for n in range(1200)
    ]
    wanted[10] = {"user": "u1", **PLAIN, "tilte": "x"}
    wanted[700] = "not an object"
    wanted[701] = wanted[702] = {"user": "u1", **PLAIN, "notification_id": ID}
    receipts = feed.publish_many(wanted)
    assert len(receipts) == len(wanted)
    refused = {at: one.error for at, one in enumerate(receipts) if one.error}
    assert refused.keys() == {10, 700, *range(50, 1200, 100)}
    assert refused[10] is not None
    assert (refused[10].field, refused[10].message) == ("tilte", "unknown field")
    assert [receipts[at].status for at in (701, 702)] == ["published", "duplicate"]
    published = sum(one.is_new for one in receipts)
    assert published == 1200 - len(refused) - 1
    assert sum(feed.counts(f"u{n}").unread for n in range(7)) == published
    assert mark(deployment, "u3") == feed.counts("u3").document()
    assert len(items(feed, "u3", limit=200)) == feed.counts("u3").unread
    assert feed.publish_many([]) == []


def test_publish_many__keeps_receipts_where_the_source_fails(feed: Feed) -> None:
    """What was read before the failure is published, and its receipts are in the error."""

    def source() -> Iterator[dict[str, Any]]:
        yield {"user": "u1", **PLAIN}
        yield {"user": "u1"}
        raise ZeroDivisionError

    with pytest.raises(SourceFailed) as raised:
        feed.publish_many(source())
    assert [one.status for one in raised.value.receipts] == ["published", "refused"]
    assert feed.counts("u1").unread == 1


def test_marks__answer_the_counts(feed: Feed, deployment: DeploymentFixture) -> None:
    """Every change answers what is unread and unseen then, and the mark in Redis has it too."""
    ids = [feed.publish("u1", **PLAIN).notification_id or "" for _ in range(5)]

    def now() -> tuple[int, int]:
        counts = feed.counts("u1")
        assert mark(deployment, "u1") == counts.document()
        return counts.unread, counts.unseen

    assert feed.mark_seen("u1", ids[0]) == feed.counts("u1")
    assert now() == (5, 4)
    assert feed.mark_read("u1", ids[:2])[:2] == (3, 3)
    version = feed.counts("u1").version
    assert feed.mark_read("u1", ids[:2]).version == version
    assert feed.mark_read("u1", [ID, f"{ids[0]}/in_app:u1"])[:2] == (3, 3)
    assert feed.mark_unread("u1", [ids[0]])[:2] == (4, 3)
    (row,) = [item.id for item in items(feed, "u1") if item.notification_id == ids[0]]
    assert feed.mark_read("u1", row)[:2] == (3, 3)
    assert feed.mark_read("u1", all=True, until=ids[2])[:2] == (2, 2)
    assert feed.mark_seen("u1", all=True)[:2] == (2, 0)
    assert feed.archive("u1", ids[4])[:2] == (1, 0)
    assert now() == (1, 0)
    assert [item.notification_id for item in items(feed, "u1")] == ids[3::-1]
    assert [item.notification_id for item in items(feed, "u1", archived=True)] == [ids[4]]
    assert feed.archive("u1", all=True)[:2] == (0, 0)
    assert feed.mark_read("u1", []) == feed.counts("u1")
    assert feed.mark_read("u2", ids)[:2] == (0, 0)


def test_list__pages_and_filters(feed: Feed) -> None:
    """Newest first, without a hole or a repeat, over pages of any length."""
    kinds = ["a.b", "a.c", "d"]
    feed.publish_many(
        {"user": "u1", "producer": "lobby", "type": kinds[n % 3], "title": str(n)}
        for n in range(120)
    )
    titles = [str(n) for n in reversed(range(120))]
    assert [item.title for item in items(feed, "u1")] == titles
    assert [item.title for item in items(feed, "u1", limit=7)] == titles
    assert {item.type for item in items(feed, "u1", type=["a.b", "d"])} == {"a.b", "d"}
    assert len(items(feed, "u1", type="a.c", limit=3)) == 40
    feed.mark_read("u1", all=True)
    feed.publish("u1", **PLAIN, severity="critical")
    assert len(items(feed, "u1", unread=True)) == 1
    assert len(items(feed, "u1", severity="critical")) == 1
    assert len(feed.list("u1").items) == 50


def test_data__comes_back_as_it_was(feed: Feed) -> None:
    """FT-06: every value that JSON has, of any size and depth that an intent may have too."""

    @settings(max_examples=examples(20, 200), deadline=None)
    @given(st.lists(st.dictionaries(st.text(), _VALUES, max_size=4), min_size=1, max_size=10))
    def check(data: list[dict[str, Any]]) -> None:
        receipts = feed.publish_many({"user": "u1", **PLAIN, "data": one} for one in data)
        found = {item.notification_id: item.data for item in feed.list("u1", limit=200).items}
        assert [found[str(one.notification_id)] for one in receipts] == data

    check()


def test_arguments__are_named(feed: Feed) -> None:
    """An argument that cannot be asked for is one clear error."""
    for call, field in (
        (lambda: feed.list("a b"), "user"),
        (lambda: feed.list("u1", limit=0), "limit"),
        (lambda: feed.list("u1", limit=201), "limit"),
        (lambda: feed.list("u1", cursor="?"), "cursor"),
        (lambda: feed.list("u1", type=["ok", ""]), "type"),
        (lambda: feed.list("u1", severity="loud"), "severity"),
        (lambda: feed.counts(""), "user"),
        (lambda: feed.mark_read("u1"), "ids"),
        (lambda: feed.mark_read("u1", ID, all=True), "ids"),
        (lambda: feed.mark_read("u1", ID, until=ID), "until"),
        (lambda: feed.mark_read("u1", all=True, until="x"), "until"),
        (lambda: feed.mark_unread("u1", [ID, "x"]), "ids[1]"),
        (lambda: feed.archive("", all=True), "user"),
        (lambda: feed.retract("x"), "notification_id"),
        (lambda: feed.retract(ID, users=["u1", ""]), "users[1]"),
    ):
        with pytest.raises(InvalidQuery) as raised:
            call()
        assert raised.value.field == field
    with pytest.raises(TypeError, match="unexpected keyword argument 'titel'"):
        feed.list("u1", titel=1)  # type: ignore[call-arg]


def test_retract__takes_back_what_was_published(feed: Feed, deployment: DeploymentFixture) -> None:
    """Rows, counts, mark and streams lose it; where it is not yet, it does not come later."""
    receipts = feed.publish_many(
        {"user": user, **PLAIN, "notification_id": ID} for user in ("u1", "u2")
    )
    assert all(one.is_new for one in receipts)
    done = feed.retract(ID)
    assert done.found
    assert sorted(done.users) == ["u1", "u2"]
    assert items(feed, "u1") == []
    assert mark(deployment, "u2") == feed.counts("u2").document()
    assert feed.counts("u2")[:2] == (0, 0)
    assert recent(deployment, "u1")[-1] == Retraction(ID)
    assert feed.retract(ID).found
    assert len(recent(deployment, "u1")) == 2
    assert not feed.retract("f" * 32).found
    assert feed.retract("e" * 32, users=["u3"]).users == ["u3"]
    assert not feed.publish("u3", **PLAIN, notification_id="e" * 32).is_new
    assert items(feed, "u3") == []
