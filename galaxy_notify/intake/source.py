"""The intents that a program submits, read in chunks."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final, Generic, TypeVar

from galaxy_notify.errors import SourceFailed

T = TypeVar("T")
#: What stands for what became of an intent.
R = TypeVar("R")

_CHUNK: Final = 1000
_PLAIN: Final = frozenset({list, tuple, set, frozenset, dict})
_LONGEST_REASON: Final = 200


class IntentSource(Generic[T]):
    """The intents of an iterable, which may raise in the middle; earlier intents count."""

    def __init__(self, intents: Iterable[T]) -> None:
        """Prepare to read."""
        self._rest = iter(intents)
        # These run no code of the program: an error while reading them is an interruption.
        self._is_plain = type(intents) in _PLAIN
        self._failure: Exception | None = None

    def chunk(self) -> list[T]:
        """Return the next intents, up to a thousand; none at the end, or after a failure."""
        intents: list[T] = []
        if self._failure is None:
            try:
                for intent in islice(self._rest, _CHUNK):
                    intents.append(intent)  # kept if a later one fails
            except Exception as error:  # the iterable of a program may raise anything
                if self._is_plain:
                    raise
                self._failure = error
        return intents

    def skip_rest(self) -> int:
        """Read the rest, and return how many intents that is."""
        count = 0
        while chunk := self.chunk():
            count += len(chunk)
        return count

    @property
    def failure_text(self) -> str:
        """Why the intents could not all be read; empty if they were."""
        error = self._failure
        if error is None:
            return ""
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        return f"reading the intents failed: {reason}"

    def require_complete(self, receipts: list[R]) -> list[R]:
        """Return *receipts*; raise `SourceFailed` if not all intents could be read."""
        if self._failure is None:
            return receipts
        text = f"{self.failure_text}; the {len(receipts)} before that have their receipts"
        raise SourceFailed(text, receipts) from self._failure
