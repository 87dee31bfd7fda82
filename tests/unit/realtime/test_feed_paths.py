"""The query of a page: what its parameters mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.realtime.feed_paths import page_query
from galaxy_notify.realtime.user_feed import PageQuery


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        ({}, PageQuery()),
        ({"limit": ["1"], "cursor": ["c"]}, PageQuery(1, "c")),
        ({"limit": ["0200"], "unread": ["true"]}, PageQuery(200, unread=True)),
        ({"unread": ["false"], "archived": ["true"]}, PageQuery(archived=True)),
        (
            {"type": ["a", "b.c"], "severity": ["info"]},
            PageQuery(types=("a", "b.c"), severity="info"),
        ),
    ],
)
def test_query__is_read(asked: Mapping[str, Sequence[str]], query: PageQuery) -> None:
    """Fifty items, where nothing else is said."""
    assert page_query(asked) == query


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": ["1e2"]},
        {"limit": ["1", "1"]},
        {"limit": ["9" * 10_000]},
        {"cursor": ["a", "a"]},
        {"unread": ["TRUE"]},
        {"archived": ["1"]},
        {"type": ["a b"]},
        {"type": ["a"] * 21},
        {"severity": ["none"]},
    ],
)
def test_query__that_is_wrong_names_its_parameter(asked: Mapping[str, Sequence[str]]) -> None:
    """It is the only one here."""
    with pytest.raises(InvalidQuery) as raised:
        page_query(asked)
    assert [raised.value.field] == list(asked)
