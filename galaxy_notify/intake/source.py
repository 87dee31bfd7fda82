"""What a program hands in to be accepted, read chunk after chunk."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final, Generic, TypeVar

from galaxy_notify.errors import SourceFailed
from galaxy_notify.intake.receipts import Receipt

T = TypeVar("T")

_CHUNK: Final = 1000
_PLAIN: Final = frozenset({list, tuple, set, frozenset, dict})
_LONGEST_REASON: Final = 200


class IntentSource(Generic[T]):
    """The intents of an iterable, which may raise in the middle; what it gave before counts."""

    def __init__(self, intents: Iterable[T]) -> None:
        """Begin to read."""
        self._rest = iter(intents)
        # These run no code of the program: what comes out of reading them is an interruption.
        self._is_plain = type(intents) in _PLAIN
        self._failure: Exception | None = None

    def chunk(self) -> list[T]:
        """Return the next intents, up to a thousand; none at the end, or after a failure."""
        found: list[T] = []
        if self._failure is None:
            try:
                for intent in islice(self._rest, _CHUNK):
                    found.append(intent)  # what was read before a failure is kept
            except Exception as error:  # it is the program's own: it may raise anything
                if self._is_plain:
                    raise
                self._failure = error
        return found

    def left(self) -> int:
        """Read what is left, and return how many intents that was."""
        count = 0
        while chunk := self.chunk():
            count += len(chunk)
        return count

    @property
    def trouble(self) -> str:
        """Return why not all was read, empty where all was."""
        error = self._failure
        if error is None:
            return ""
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        return f"the intents could not be read to the end: {reason}"

    def checked(self, receipts: list[Receipt]) -> list[Receipt]:
        """Return the receipts of all intents; raise `SourceFailed` where not all could be read."""
        if self._failure is None:
            return receipts
        text = f"{self.trouble}; the {len(receipts)} before that have their receipts"
        raise SourceFailed(text, receipts) from self._failure
