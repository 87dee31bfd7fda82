"""Quiet hours: a daily interval in the user's own time zone."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
# Names such as `localtime` are not zones, or mean another zone on another machine.
_ZONE: Final = re.compile(r"(?=.{1,64}\Z)[A-Z][A-Za-z0-9_+-]*(?:/[A-Z][A-Za-z0-9_+-]*){0,2}")
_TIME: Final = re.compile("([01][0-9]|2[0-3]):([0-5][0-9])")


class Quiet(NamedTuple):
    """Quiet hours from minute *start* of the day up to minute *end*, by the wall clock of a zone.

    They may span midnight. If both minutes are the same, there are no quiet hours.
    """

    start: int
    end: int
    zone: str

    def as_json(self) -> dict[str, str]:
        """Return the JSON object that is stored and shown."""
        return {"from": _clock(self.start), "to": _clock(self.end), "zone": self.zone}


def minute_of(text: object) -> int | None:
    """Return the minute of the day for a text such as ``22:00``; None for any other value."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    return int(match[1]) * 60 + int(match[2]) if match else None


def is_zone(name: object) -> bool:
    """Return whether this machine has a time zone of that name."""
    return isinstance(name, str) and zone_of(name) is not None


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo | None:
    """Return the time zone of a name such as ``Europe/Berlin``; None if it is unknown."""
    if not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


@lru_cache(maxsize=8192)
def quiet_until(quiet: Quiet, at_ms: int) -> int | None:
    """Return the end (epoch ms) of the quiet hours around a moment; None outside of them.

    The wall clock decides: the start is quiet, the end is not. An hour that the clock skips is not
    quiet, and an hour that it repeats is quiet twice.
    """
    zone = zone_of(quiet.zone)
    if zone is None or not _left(quiet, _wall(zone, at_ms)):
        return None
    while left := _left(quiet, _wall(zone, at_ms)):
        offset, end = _offset(zone, at_ms), at_ms + left
        # If the clock is set in between, continue from that change.
        at_ms = end if _offset(zone, end) == offset else _change(zone, at_ms, end)
    return at_ms


def _left(quiet: Quiet, wall_ms: int) -> int:
    """Return the rest of the quiet hours in ms by the wall clock; 0 outside of them."""
    start, end, now = quiet.start * _MINUTE_MS, quiet.end * _MINUTE_MS, wall_ms % _DAY_MS
    inside = start <= now < end if start <= end else now >= start or now < end
    return (end - now) % _DAY_MS if inside else 0


def _wall(zone: ZoneInfo, at_ms: int) -> int:
    return at_ms + _offset(zone, at_ms)


def _offset(zone: ZoneInfo, at_ms: int) -> int:
    """Return the offset of a zone from UTC in ms at a moment."""
    ahead = datetime.fromtimestamp(at_ms // 1000, zone).utcoffset()
    return 0 if ahead is None else ahead.days * _DAY_MS + ahead.seconds * 1000


def _change(zone: ZoneInfo, before_ms: int, after_ms: int) -> int:
    """Return the moment (epoch ms) between two others at which the offset of a zone changes."""
    offset = _offset(zone, before_ms)
    while after_ms - before_ms > 1:
        middle = (before_ms + after_ms) // 2
        if _offset(zone, middle) == offset:
            before_ms = middle
        else:
            after_ms = middle
    return after_ms


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
