"""Which dead letters an operator means, and since when."""

from __future__ import annotations

from dataclasses import dataclass

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

    def matches(self, letter: DeadLetterView) -> bool:
        """Return whether its type, producer and class are meant."""
        return (
            (not self.types or letter.type in self.types)
            and (not self.producers or letter.producer in self.producers)
            and (not self.classes or letter.failure_class in self.classes)
        )
