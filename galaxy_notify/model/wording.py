"""Durations and moments as people say them."""

from __future__ import annotations

from typing import Final

_SECOND: Final = 1000
_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (_SECOND, "s"))


def duration(ms: float, units: int = 2) -> str:
    """Say a duration in its two largest units, or so many: ``2 min 5 s``, ``40 ms``."""
    rest = abs(round(ms))
    if rest < _SECOND:
        return f"{rest} ms"
    largest = next(i for i, (size, _) in enumerate(_UNITS) if rest >= size)
    parts: list[str] = []
    for size, name in _UNITS[largest : largest + units]:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number} {name}")
    return " ".join(parts)


def ago(at_ms: int, now_ms: int, units: int = 2) -> str:
    """Say when something happened or will: ``3 s ago``, ``in 4 min``, ``now``."""
    distance = now_ms - at_ms
    if abs(distance) < _SECOND:
        return "now"
    told = duration(distance, units)
    return f"{told} ago" if distance > 0 else f"in {told}"
