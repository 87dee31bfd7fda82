"""Attributes of metrics that may have any number of values: the first ones keep their name."""

from __future__ import annotations


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
            return "other"
        self._known.add(value)
        return value
