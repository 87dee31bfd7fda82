"""Points in time as producers and operators write them, in epoch milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from galaxy_notify.model.json_data import kind_of

# The milliseconds with 13 digits, September 2001 to November 2286, and one more, which counts as
# the last of them.
EARLIEST_MS, LATEST_MS = 10**12, 10**13
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_AGO = re.compile(r"([0-9]{1,9})(ms|s|m|h|d|w)")


def to_ms(value: object) -> int:
    """Return epoch milliseconds for RFC 3339 text, a number of them, or an aware datetime.

    Raise ``ValueError`` with the reason for anything else.
    """
    if isinstance(value, str):
        return _from_datetime(_parsed(value))
    if isinstance(value, datetime):
        return _from_datetime(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_number(value)
    raise ValueError(f"must be RFC 3339 text or epoch milliseconds, not {kind_of(value)}")


def moment_ms(text: str, now_ms: int) -> int:
    """Return epoch ms for RFC 3339 text, epoch ms, or a time ago: ``15m``, ``2h``, ``3d``.

    Raise ``ValueError`` with the reason for anything else.
    """
    if match := _AGO.fullmatch(text):
        number, unit = int(match[1]), match[2]
        return max(0, now_ms - number * _UNITS_MS[unit])
    if text.isascii() and text.isdigit():
        return to_ms(int(text))
    try:
        return to_ms(text)
    except ValueError as error:
        raise ValueError(f"{error}, or a time ago such as 15m, 2h, 3d") from None


def _parsed(text: str) -> datetime:
    if _RFC_3339.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper())
        except ValueError:
            raise ValueError("is not an existing date and time") from None
    raise ValueError("must be RFC 3339 with an offset, such as 2030-01-31T09:00:00Z")


def _from_datetime(moment: datetime) -> int:
    if moment.utcoffset() is None:
        raise ValueError("needs a time zone: a naive datetime is ambiguous")
    ms = (moment - _EPOCH) // _MS
    if ms > LATEST_MS:
        raise ValueError("must be before 20 November 2286")
    # Any earlier moment is equally past, and the value keeps 13 digits.
    return max(EARLIEST_MS, min(ms, LATEST_MS - 1))


def _from_number(number: float) -> int:
    if isinstance(number, float) and not number.is_integer():
        raise ValueError("must be a whole number of epoch milliseconds")
    if not EARLIEST_MS <= number <= LATEST_MS:
        raise ValueError(
            "is outside 10^12..10^13: expected epoch milliseconds, this is probably seconds"
        )
    return min(int(number), LATEST_MS - 1)
