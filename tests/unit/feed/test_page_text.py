"""Pages as text: JSON for every value that a feed may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from galaxy_notify.feed.page_text import page_text
from galaxy_notify.feed_store.listing import Page
from galaxy_notify.model.feed import Counts, FeedItem

_COUNTS = Counts(1, 2, 3, 4)


def _item(data: Any) -> FeedItem:
    texts = ("n1", "t", "p", "info", "ä\u2028", "\ud800")
    return FeedItem(7, *texts, data, 1, 2, 3, None, None, ("email",))


def _read(page: Page) -> Any:
    return json.loads(page_text(page), parse_constant=pytest.fail)


def test_page__has_the_fields_of_its_items() -> None:
    """Each as its document has it."""
    item = _item({"a": [1, "ü"]})
    found = _read(Page([item, item], "c", _COUNTS))
    assert found == {
        "items": [item.document()] * 2,
        "next": "c",
        "counts": {"unread": 1, "unseen": 2, "version": 3, "epoch": 4},
    }
    assert _read(Page([], None, _COUNTS))["next"] is None


def _deep() -> Any:
    found: Any = []
    for _ in range(100_000):
        found = [found]
    return found


@pytest.mark.parametrize("data", [b"x", float("nan"), {"a": float("inf")}, {b"k": 1}, _deep()])
def test_page__with_data_that_is_not_json_is_json(data: Any) -> None:
    """One such item costs its data, and no other item anything."""
    good = _item({})
    items = _read(Page([good, _item(data), good], None, _COUNTS))["items"]
    assert [one["data"] for one in items] == [{}, None, {}]
