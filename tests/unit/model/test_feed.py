"""Counts: which of two are newer, and what a mark may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.model.feed import Counts, parse_counts

_NUMBER = st.integers(0, 10**15 - 1)
_COUNTS = st.builds(Counts, _NUMBER, _NUMBER, _NUMBER, _NUMBER)


@given(_COUNTS)
def test_parse__reads_what_a_mark_has(counts: Counts) -> None:
    """All numbers that are exact everywhere, in the order of the fields."""
    assert parse_counts([b"%d" % value for value in counts]) == counts


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b""],
        [None] * 4,
        [b"1", b"2", b"3"],
        [b"1", b"2", b"3", b"4", b"5"],
        [b"1", b"2", b"3", None],
        [b"1", b"2", b"3", b"-4"],
        [b"1", b"2", b"3", b"4.0"],
        [b"1", b"2", b"3", b"9" * 16],
        [b"1", b"2", b"3", "\u0664".encode()],
        [b"1", b"2", b"3", b"4\n"],
    ],
)
def test_parse__takes_nothing_else(values: list[bytes | None]) -> None:
    """What is not exactly four numbers is no mark."""
    assert parse_counts(values) is None


@given(_COUNTS, _COUNTS)
def test_newer__is_one_of_two_that_differ(one: Counts, other: Counts) -> None:
    """The epoch decides, then the version; how much is unread says nothing."""
    differs = (one.epoch, one.version) != (other.epoch, other.version)
    assert one.is_newer(other) + other.is_newer(one) == differs
    assert one._replace(epoch=one.epoch + 1, version=0).is_newer(one)
    assert one.is_newer(None)
