"""What callers ask of a feed: every form of ids, each once; the first that is invalid is named."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.feed.asked import Selection, checked_types, checked_users, selected, selection

ID, OTHER = "0" * 31 + "1", "f" * 32


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        (ID, [ID]),
        ([ID, OTHER, ID], [ID, OTHER]),
        ((one for one in (ID, OTHER)), [ID, OTHER]),
        ([f"{ID}.7/push:u1#2", ID], [ID]),
        (7, ["7"]),
        (["7", 8, ID], ["7", "8", ID]),
        ([], []),
        ({ID}, [ID]),
    ],
)
def test_selection__takes_every_form_of_ids(given: Any, ids: list[str]) -> None:
    """An id or several, of notifications, of events or of rows."""
    assert selection(given, False, None) == Selection(ids)


def test_selection__takes_all() -> None:
    """All, or up to a notification."""
    assert selection(None, True, None) == Selection(None)
    assert selection(None, True, f"{ID}/in_app:u1") == Selection(None, ID)


@pytest.mark.parametrize(
    ("ids", "everything", "until", "field"),
    [
        (None, False, None, "ids"),
        ([ID], True, None, "ids"),
        ([ID], False, ID, "until"),
        (None, True, "7", "until"),
        ([ID, "x"], False, None, "ids[1]"),
        ("", False, None, "ids[0]"),
        ([0], False, None, "ids[0]"),
        ([True], False, None, "ids[0]"),
        ([None], False, None, "ids[0]"),
        ({ID: 1}, False, None, "ids"),
        (b"7", False, None, "ids"),
    ],
)
def test_selection__names_what_is_invalid(
    ids: Any, everything: bool, until: str | None, field: str
) -> None:
    """The argument is named, and its place."""
    with pytest.raises(InvalidQuery) as raised:
        selection(ids, everything, until)
    assert raised.value.field == field


def test_users_and_types__are_checked() -> None:
    """Each once, in their order; text alone is one type, and no list of users."""
    assert checked_users(None) is None
    assert checked_users(["b", "a", "b"]) == ["b", "a"]
    assert checked_types("a.b") == ("a.b",)
    assert checked_types(["a", "b"]) == ("a", "b")
    with pytest.raises(InvalidQuery, match="users: must be a list, not text"):
        checked_users("u1")
    with pytest.raises(InvalidQuery, match="type: must match"):
        checked_types(["a", ""])


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"ids": [ID, OTHER, ID]}, Selection([ID, OTHER])),
        ({"ids": [], "all": None}, Selection([])),
        ({"ids": [7, ID], "all": False, "until": None}, Selection(["7", ID])),
        ({"all": True}, Selection(None)),
        ({"all": True, "until": ID, "ids": None}, Selection(None, ID)),
        ({"ids": [f"{number:032x}" for number in range(500)]}, 500),
    ],
)
def test_selected__reads_the_object_of_a_mark(document: Any, found: Any) -> None:
    """What a client sends, over HTTP or over a WebSocket."""
    taken = selected(document)
    assert (len(taken.ids or ()) if isinstance(found, int) else taken) == found


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (None, ""),
        ([ID], ""),
        ({}, "ids"),
        ({"ids": [ID], "id": ID}, "id"),
        ({"ids": [ID], "a\nb": 1}, "a\\nb"),
        ({"ids": ID}, "ids"),
        ({"ids": {ID: 1}}, "ids"),
        ({"ids": [[ID]]}, "ids[0]"),
        ({"ids": [ID, None]}, "ids[1]"),
        ({"ids": [1.5]}, "ids[0]"),
        ({"ids": ["\ud800"]}, "ids[0]"),
        ({"ids": [ID] * 501}, "ids"),
        ({"ids": [ID], "all": True}, "ids"),
        ({"ids": [ID], "until": ID}, "until"),
        ({"all": 1}, "all"),
        ({"all": "true"}, "all"),
        ({"all": False}, "ids"),
        ({"all": True, "until": 7}, "until"),
        ({"until": ID}, "ids"),
    ],
)
def test_selected__names_what_is_invalid(document: Any, field: str) -> None:
    """An unknown field too."""
    with pytest.raises(InvalidQuery) as raised:
        selected(document)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("given", "only"),
    [
        (Selection([ID]), ID),
        (Selection([ID, OTHER]), None),
        (Selection([]), None),
        (Selection(None), None),
        (Selection(None, ID), ID),
    ],
)
def test_selection__names_one_item_or_not(given: Selection, only: str | None) -> None:
    """One that is named by itself must be there."""
    assert given.only == only
