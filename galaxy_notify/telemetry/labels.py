"""Attribute values of which there are never too many."""

from __future__ import annotations

from typing import Final

OTHER: Final = "other"


class CappedLabels:
    """Let the first values pass unchanged and call all later ones ``other``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def label(self, value: str) -> str:
        """Return the value, or ``other`` once the limit of distinct ones is reached."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value
