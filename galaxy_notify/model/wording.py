"""Durations, moments and sizes as text for people."""

from __future__ import annotations

from typing import Final

_SECOND: Final = 1000
_KILO: Final = 1000
_SIZES: Final = {10**3: "kB", 10**6: "MB", 10**9: "GB", 10**12: "TB"}
#: From here on, as it is rounded, a size has no decimal.
_WHOLE: Final = 9.95
_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (_SECOND, "s"))


def duration(ms: float, units: int = 2) -> str:
    """Return a duration as text in its largest units, two by default: ``2 min 5 s``, ``40 ms``."""
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
    """Return a moment as text relative to now: ``3 s ago``, ``in 4 min``, ``now``."""
    distance = now_ms - at_ms
    if abs(distance) < _SECOND:
        return "now"
    text = duration(distance, units)
    return f"{text} ago" if distance > 0 else f"in {text}"


def size(number: float) -> str:
    """Return a number of bytes as text: ``889 B``, ``3.5 GB``, ``12 TB``."""
    if round(number) < _KILO:
        return f"{number:.0f} B"
    place = next((at for at in _SIZES if round(number / at) < _KILO), max(_SIZES))
    scaled = number / place
    return f"{scaled:.1f} {_SIZES[place]}" if scaled < _WHOLE else f"{scaled:,.0f} {_SIZES[place]}"
