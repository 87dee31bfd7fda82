"""How far the feed's group is behind: each entry is counted once."""

from __future__ import annotations

from galaxy_notify.redis_state.feed_backlog import Distance
from galaxy_notify.redis_state.feed_calls import WRITER_GONE_MS, Attended


def _page(
    position: int | None, counted: int, last: int, *, goes_on: bool = False, more: bool = False
) -> Attended:
    at = None if position is None else f"{position}-0"
    return Attended(0, 0, None, at, goes_on, counted, f"{last}-0" if counted else "", more)


def test_distance__adds_pages_up() -> None:
    """Pages behind each other are one distance."""
    distance = Distance()
    distance.add(_page(10, 500, 509, more=True))
    distance.add(_page(10, 300, 809, goes_on=True))
    assert (distance.entries, distance.last) == (800, "809-0")
    distance.add(_page(10, 0, 0, goes_on=True))
    assert (distance.entries, distance.last) == (800, "809-0")


def test_distance__drops_what_was_written() -> None:
    """While the group moves on, pages before its position no longer count."""
    distance = Distance()
    distance.add(_page(10, 500, 509, more=True))
    distance.add(_page(10, 500, 1009, goes_on=True, more=True))
    distance.add(_page(600, 100, 1109, goes_on=True))
    assert distance.entries == 600  # of the page that holds the position, all count
    distance.add(_page(1109, 0, 0, goes_on=True))
    assert distance.entries == 0


def test_distance__begins_again_behind_what_was_counted() -> None:
    """A group that has overtaken the count is counted from its position."""
    distance = Distance()
    distance.add(_page(10, 500, 509))
    distance.add(_page(700, 3, 703))
    assert (distance.entries, distance.last) == (3, "703-0")


def test_distance__of_a_group_that_was_set_back() -> None:
    """A group that an operator has set back is counted from its new position."""
    distance = Distance()
    distance.add(_page(700, 3, 703))
    distance.add(_page(650, 2, 705, goes_on=True))
    assert distance.last == ""
    distance.add(_page(650, 55, 705))
    assert distance.entries == 55


def test_distance__without_a_group() -> None:
    """Without a group nothing is behind."""
    distance = Distance()
    distance.add(_page(10, 500, 509))
    distance.add(_page(None, 0, 0))
    assert (distance.entries, distance.last) == (0, "")


def test_writer__is_alive_for_a_minute() -> None:
    """A writer is gone when it has not reported for a minute."""
    page = _page(10, 0, 0)._replace(now_ms=WRITER_GONE_MS, writer_ms=1)
    assert page.has_living_writer
    assert not page._replace(writer_ms=0).has_living_writer
    assert not page._replace(writer_ms=None).has_living_writer
