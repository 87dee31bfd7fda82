"""Which dead letters an operator means, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.model.failure_classes import FAILURE_CLASSES
from galaxy_notify.model.json_data import printable
from galaxy_notify.operations.dead_letter import DeadLetterView


@dataclass(frozen=True)
class DeadFilter:
    """What a dead letter must be; empty means anything. Times are included.

    Raises `InvalidQuery` for a class that no dead letter may have.
    """

    channels: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    producers: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        for name in self.classes:
            if name not in FAILURE_CLASSES:
                known = ", ".join(FAILURE_CLASSES)
                raise InvalidQuery("class", f'unknown class "{printable(name)}" (known: {known})')

    @property
    def narrows(self) -> bool:
        """Return whether it leaves anything out; a limit alone picks nothing."""
        times = self.since_ms is not None or self.until_ms is not None
        return times or any((self.channels, self.types, self.producers, self.classes))

    def matches(self, letter: DeadLetterView) -> bool:
        """Return whether it is one of those that are meant."""
        return (
            (not self.types or letter.type in self.types)
            and (not self.producers or letter.producer in self.producers)
            and (not self.classes or letter.failure_class in self.classes)
        )

    def of(self, letters: Iterable[DeadLetterView]) -> Iterator[DeadLetterView]:
        """Yield those that are meant, no more than the limit."""
        return islice((letter for letter in letters if self.matches(letter)), self.limit)
