"""What callers ask of a feed: every form of ids, each once; the first that is invalid is named."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.feed.asked import Selection, checked_types, checked_users, selection

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
