"""Many items, cut into parts that Redis takes in little time and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class PartLimits(NamedTuple):
    """What a part may hold: items, and bytes unless it is a single item."""

    items: int
    bytes: int


def cut(
    items: Iterable[T], limits: PartLimits, size_of: Callable[[T], int]
) -> Iterable[Sequence[T]]:
    """Cut items into parts, in order; none is empty."""
    part: list[T] = []
    size = 0
    for item in items:
        added = size_of(item)
        if part and (len(part) == limits.items or size + added > limits.bytes):
            yield part
            part, size = [], 0
        part.append(item)
        size += added
    if part:
        yield part
