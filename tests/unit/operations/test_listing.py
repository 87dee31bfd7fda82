"""The cursor of the list: what was written is read, and anything else is one clear error."""

from __future__ import annotations

import base64
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.model.ids import RECIPIENT
from galaxy_notify.operations.list_filter import STATES, ListFilter
from galaxy_notify.operations.listing import read_cursor, write_cursor
from galaxy_notify.redis_inspect.listing import ListPosition

SHARDS = 7
POSITIONS = st.builds(
    ListPosition,
    st.integers(0, 2**64 - 1),
    st.integers(0, SHARDS - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 999),
)


@given(POSITIONS)
def test_cursor__is_read_as_it_was_written(position: ListPosition) -> None:
    """Every position has one cursor, and it needs no quoting in a URL or a shell."""
    text = write_cursor(position)
    assert read_cursor(text, SHARDS) == position
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_cursor__of_nobody_is_one_clear_error(text: str) -> None:
    """Whatever is given, it is a position of ours or refused by name; nothing else is raised."""
    with suppress(InvalidQuery):
        assert write_cursor(read_cursor(text, SHARDS)) == text


@given(st.binary(min_size=21, max_size=21))
def test_cursor__of_the_right_length_is_no_better(raw: bytes) -> None:
    """What is beyond any list is refused as well."""
    with suppress(InvalidQuery):
        position = read_cursor(base64.urlsafe_b64encode(raw).decode(), SHARDS)
        assert position.shard < SHARDS


@given(POSITIONS, st.data())
def test_cursor__that_was_cut_or_changed_is_refused_or_another(
    position: ListPosition, data: st.DataObject
) -> None:
    """A changed letter gives another position or an error, never an exception of another kind."""
    text = write_cursor(position)
    at = data.draw(st.integers(0, len(text) - 1))
    for changed in (text[:at], text[:at] + "=" + text[at + 1 :], text + "A", f" {text}"):
        with pytest.raises(InvalidQuery, match=r"^cursor: is not a cursor of this list"):
            read_cursor(changed, SHARDS)


def test_cursor__of_another_deployment_is_refused() -> None:
    """A shard that is not there has no place in the list."""
    text = write_cursor(ListPosition(5, 3, 0, 0))
    with pytest.raises(InvalidQuery):
        read_cursor(text, 3)


@given(st.text(), st.text(), st.integers(), st.integers())
def test_filter__is_refused_by_name(state: str, user: str, since: int, until: int) -> None:
    """Whatever is asked for, it is a filter or an error that names the field."""
    valid = state in STATES and re.fullmatch(RECIPIENT, user)
    with suppress(InvalidQuery) if valid else pytest.raises(InvalidQuery) as refused:
        ListFilter(states=(state,), user=user, since_ms=since, until_ms=until)
    assert refused is None or refused.value.field in ("state", "user", "since", "until")
