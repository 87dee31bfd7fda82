"""Quiet hours: a stretch of a user's day in the user's own time zone."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
# Names such as `localtime` mean another zone on another machine, or are no zones at all.
_ZONE: Final = re.compile(r"(?=.{1,64}\Z)[A-Z][A-Za-z0-9_+-]*(?:/[A-Z][A-Za-z0-9_+-]*){0,2}")
_TIME: Final = re.compile("([01][0-9]|2[0-3]):([0-5][0-9])")


class Quiet(NamedTuple):
    """Quiet from one minute of the day up to another, by the wall clock of a zone.

    They may span midnight; where both are the same minute there are no quiet hours.
    """

    start: int
    end: int
    zone: str

    def as_json(self) -> dict[str, str]:
        """Return it as it is stored and shown."""
        return {"from": _clock(self.start), "to": _clock(self.end), "zone": self.zone}


def minute_of(text: object) -> int | None:
    """Return the minute of the day that a text such as ``22:00`` names; None for any other."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    return int(match[1]) * 60 + int(match[2]) if match else None


def is_zone(name: object) -> bool:
    """Tell whether this machine knows a time zone of that name."""
    return isinstance(name, str) and zone_of(name) is not None


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo | None:
    """Return the time zone of a name such as ``Europe/Berlin``; None where there is none."""
    if not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


@lru_cache(maxsize=8192)
def quiet_until(quiet: Quiet, at_ms: int) -> int | None:
    """Return when the quiet hours are over in which a moment lies; None where it lies in none.

    What counts is what the clock on the wall shows: the start is quiet, the end is not. An hour
    that the clock skips is not quiet, and one that it shows twice is quiet twice.
    """
    zone = zone_of(quiet.zone)
    if zone is None or not _left(quiet, _wall(zone, at_ms)):
        return None
    while left := _left(quiet, _wall(zone, at_ms)):
        offset, end = _offset(zone, at_ms), at_ms + left
        # Where the clock is set meanwhile, what it shows is looked at again from there on.
        at_ms = end if _offset(zone, end) == offset else _change(zone, at_ms, end)
    return at_ms


def _left(quiet: Quiet, wall_ms: int) -> int:
    """Return for how long it is quiet yet by a clock that shows this; 0 where it is not."""
    start, end, now = quiet.start * _MINUTE_MS, quiet.end * _MINUTE_MS, wall_ms % _DAY_MS
    inside = start <= now < end if start <= end else now >= start or now < end
    return (end - now) % _DAY_MS if inside else 0


def _wall(zone: ZoneInfo, at_ms: int) -> int:
    return at_ms + _offset(zone, at_ms)


def _offset(zone: ZoneInfo, at_ms: int) -> int:
    """Return by how many ms the clocks of a zone are ahead of UTC at a moment."""
    ahead = datetime.fromtimestamp(at_ms // 1000, zone).utcoffset()
    return 0 if ahead is None else ahead.days * _DAY_MS + ahead.seconds * 1000


def _change(zone: ZoneInfo, before_ms: int, after_ms: int) -> int:
    """Return when the clocks of a zone are set that show another offset after than before."""
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
