"""What users do with their own feeds over HTTP: list, count, mark."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import problem
from tests.support.feed_store import new_id
from tests.support.own_feeds import MARKS, PATH, FeedGateways, OwnFeed

_FIELDS = [
    *("id", "notification_id", "type", "producer", "severity", "title", "body", "data"),
    *("created_at_ms", "at_ms", "seen_at_ms", "read_at_ms", "archived_at_ms", "delivered_via"),
]


def _ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["notification_id"] for item in items]


def test_page__has_the_items_of_the_user(feed_places: FeedGateways, own: OwnFeed) -> None:
    """The newest first, with the counts; whatever texts they hold, and nobody else's."""
    feed_places.publish(f"not-{own.user}")
    data = {"turn": 12, "names": ["ü", "\u2028</script>", None], "deep": {"1": 1.5}}
    (last,) = feed_places.publish(own.user, title="Größe", body="a\nb", data=data)
    (first,) = feed_places.publish(own.user, severity="critical")
    page = own.page()
    assert list(page) == ["items", "next", "counts"]
    assert _ids(page["items"]) == [first, last]
    assert [*page["items"][1]] == _FIELDS
    assert page["items"][1]["data"] == data
    assert (page["items"][1]["title"], page["items"][1]["body"]) == ("Größe", "a\nb")
    assert page["items"][0]["severity"] == "critical"
    assert page["next"] is None
    assert page["counts"] == own.counts()
    assert [*own.counts()] == ["unread", "unseen", "version", "epoch"]
    assert (own.counts()["unread"], own.counts()["unseen"]) == (2, 2)


def test_page__of_nothing_is_empty(own: OwnFeed) -> None:
    """A user of whom nothing is known has a feed all the same."""
    page = own.page()
    assert (page["items"], page["next"]) == ([], None)
    assert (page["counts"]["unread"], page["counts"]["version"]) == (0, 0)


def test_pages__follow_one_another(feed_places: FeedGateways, own: OwnFeed) -> None:
    """Fifty, or as many as are asked for, from any of the gateways; what comes shifts nothing."""
    ids = feed_places.publish(own.user, 53)
    page = own.page()
    assert _ids(page["items"]) == ids[:50]
    feed_places.publish(own.user)
    with feed_places.own(own.user, at=1) as other:
        assert _ids(other.page(cursor=page["next"])["items"]) == ids[50:]
    assert _ids(own.items(limit=1))[1:] == ids
    assert len(own.page(limit=200)["items"]) == 54


def test_filters__are_all_kept(feed_places: FeedGateways, own: OwnFeed) -> None:
    """A type may be one of several; what is empty is not asked for."""
    ids = {
        (kind, severity): feed_places.publish(own.user, type=kind, severity=severity)[0]
        for kind in ("a", "b", "c.d")
        for severity in ("info", "warning")
    }
    own.mark("read", ids["a", "info"])
    own.mark("archive", ids["b", "info"], ids["b", "warning"])
    for query, found in (
        ({"unread": "true"}, [("c.d", "warning"), ("c.d", "info"), ("a", "warning")]),
        ({"unread": "false", "type": "a"}, [("a", "warning"), ("a", "info")]),
        ({"type": ["a", "b"], "severity": "warning"}, [("a", "warning")]),
        ({"archived": "true"}, [("b", "warning"), ("b", "info")]),
        ({"archived": "true", "type": "b", "severity": "info", "limit": 1}, [("b", "info")]),
        ({"type": "", "cursor": "", "severity": "critical"}, []),
    ):
        assert _ids(own.items(**query)) == [ids[one] for one in found], query


def test_calls__are_measured(feed_places: FeedGateways, own: OwnFeed) -> None:
    """By what was asked, and what became of it."""
    (name,) = feed_places.publish(own.user)
    own.page()
    own.mark("seen", name)
    own.post("archive", {"ids": [new_id()]})
    found = feed_places.gateways[0].metric("galaxy_notify_realtime_feed_duration_seconds_count")
    for call, result in (("page", "ok"), ("seen", "ok"), ("archive", "not-found")):
        assert any(f'call="{call}"' in one and f'result="{result}"' in one for one in found)


def test_head__is_a_get_without_a_body(own: OwnFeed) -> None:
    """Of what is read."""
    for path in (PATH, f"{PATH}/counts"):
        answer = own.client.head(path, headers=own.headers)
        assert (answer.status_code, answer.content) == (200, b"")


def test_marks__change_the_counts(feed_places: FeedGateways, own: OwnFeed) -> None:
    """Each answers them; read is also seen, archived counts no more; the first time stays."""
    first, second, third = feed_places.publish(own.user, 3)
    assert own.mark("seen", first) == (3, 2)
    assert own.mark("read", first, second) == (1, 1)
    before = {item["notification_id"]: item for item in own.items()}
    assert before[first]["read_at_ms"] >= before[first]["seen_at_ms"] > 0
    version = own.counts()["version"]
    assert own.mark("read", second) == (1, 1)
    assert own.counts()["version"] == version
    assert {item["notification_id"]: item for item in own.items()} == before
    assert own.mark("unread", second) == (2, 1)
    assert own.mark("archive", third) == (1, 0)
    assert _ids(own.items()) == [first, second]
    assert own.mark("archive", second, second) == (0, 0)


def test_all__is_all_that_is_there_or_up_to_one(feed_places: FeedGateways, own: OwnFeed) -> None:
    """The named one and all below it; what came meanwhile stays as it is."""
    ids = feed_places.publish(own.user, 4)
    assert own.mark_all("seen", until=ids[2]) == (4, 2)
    assert own.mark_all("read", until=ids[1]) == (1, 1)
    assert own.mark_all("unread", until=ids[3]) == (2, 1)
    assert own.mark_all("read") == (0, 0)
    assert own.mark_all("unread") == (4, 0)
    (newer,) = feed_places.publish(own.user)
    assert own.mark_all("archive", until=ids[0]) == (1, 1)
    assert _ids(own.items()) == [newer]


def test_id__of_an_item_or_of_its_event_works_as_well(
    feed_places: FeedGateways, own: OwnFeed
) -> None:
    """Whatever a page has of it."""
    first, second, third = feed_places.publish(own.user, 3)
    row = own.page()["items"][0]["id"]
    assert own.mark("read", row) == (2, 2)
    assert own.mark("read", str(row), f"{second}.7/in_app:{own.user}") == (1, 1)
    assert own.mark("unread", first, third) == (2, 1)


@pytest.mark.parametrize("mark", MARKS)
def test_item__that_the_user_does_not_have_is_not_found(
    feed_places: FeedGateways, own: OwnFeed, mark: str
) -> None:
    """Another user's is the same as an unknown one; among others it changes nothing."""
    (mine,) = feed_places.publish(own.user)
    stranger = f"not-{own.user}"
    (theirs,) = feed_places.publish(stranger)
    with feed_places.own(stranger) as other:
        before = other.page()
        row, event = before["items"][0]["id"], f"{theirs}/in_app:{stranger}"
        answers = [
            problem(own.post(mark, body), 404, "not-found")
            for name in (theirs, row, event, new_id(), 999_999_999_999)
            for body in ({"ids": [name]}, {"ids": [name, name]})
        ]
        assert len({answer["detail"] for answer in answers}) == 1
        for name in (theirs, new_id()):
            found = problem(own.post(mark, {"all": True, "until": name}), 404, "not-found")
            assert found["errors"][0]["field"] == "until"
        own.mark(mark, theirs, row, new_id())
        assert own.counts()["unread"] == own.counts()["unseen"] == 1
        own.mark(mark, theirs, mine)
        assert other.page() == before
    times = {"read": "read_at_ms", "seen": "seen_at_ms", "archive": "archived_at_ms"}
    items = own.items(archived="true" if mark == "archive" else "false")
    assert mark == "unread" or items[0][times[mark]] is not None


def test_retracted_item__is_no_longer_there_and_no_error(
    feed_places: FeedGateways, own: OwnFeed
) -> None:
    """A client may not have heard of it yet."""
    first, second = feed_places.publish(own.user, 2)
    feed_places.feed.retract(second)
    assert _ids(own.items()) == [first]
    assert own.mark("read", second) == (1, 1)
    assert own.mark_all("read", until=second) == (1, 1)
