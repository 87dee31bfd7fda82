"""Cursors: what a list returned is read, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.feed_store.positions import NEWEST, Position, position_at


@given(st.integers(0, 1 << 53), st.integers(0, (1 << 63) - 1))
def test_cursor__is_read_again(at_us: int, row: int) -> None:
    """A position and its cursor name each other."""
    position = Position(at_us, row)
    assert position_at(position.cursor) == position
    assert len(position.cursor) == 22


@given(st.text())
def test_cursor__any_text(text: str) -> None:
    """Any other text is refused by name, never with another error."""
    try:
        found = position_at(text)
    except InvalidQuery as error:
        assert error.field == "cursor"  # noqa: PT017 - most texts are refused
    else:
        assert found.cursor == text


@pytest.mark.parametrize("position", [Position(1 << 54, 1), Position(1, 1 << 63)])
def test_cursor__of_a_place_that_cannot_be(position: Position) -> None:
    """Numbers that Postgres could not take are refused."""
    with pytest.raises(InvalidQuery):
        position_at(position.cursor)


def test_newest__is_before_all() -> None:
    """A list without a cursor begins with the newest item, whatever the clock says."""
    assert Position(2_000_000_000_000_000, (1 << 63) - 1) < NEWEST
