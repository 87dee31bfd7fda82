"""The schemas of points in time, as exact as a pattern can be: they say what is accepted."""

from __future__ import annotations

from typing import Any, Final

from galaxy_notify.model.moments import EARLIEST_MS, LATEST_MS

_DAY: Final = (
    "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    "|(?:0[13578]|1[02])-31)"
)
# From 0001 to 2285, and of 2286 what is surely before the last moment that has 13 digits.
_YEAR: Final = "(?!0000)(?:[01][0-9]{3}|2[01][0-9]{2}|22[0-7][0-9]|228[0-5])"
_LEAP: Final = (
    "(?!0000)(?:(?:[01][0-9]|2[0-2])(?:0[48]|[2468][048]|[13579][26])|(?:0[048]|1[26]|20)00)-02-29"
)
_DATE: Final = f"(?!228[89]|229)(?:{_YEAR}-{_DAY}|2286-(?!1[12])(?!02-29){_DAY}|{_LEAP})"
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
_OFFSET: Final = "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_RFC_3339: Final = f"{_DATE}[Tt ]{_TIME}{_OFFSET}"
_NUMBER: Final = "(?:[1-9][0-9]{12}|10000000000000)"
_AGO: Final = "[0-9]{1,9}(?:ms|s|m|h|d|w)"

#: What an intent may have as its time.
MOMENT: Final[dict[str, Any]] = {
    "description": "RFC 3339 with an offset, before 20 November 2286, or epoch milliseconds",
    "oneOf": [
        {"type": "string", "pattern": f"^{_RFC_3339}$", "examples": ["2040-01-31T09:00:00Z"]},
        {"type": "integer", "minimum": EARLIEST_MS, "maximum": LATEST_MS},
    ],
}
#: What a filter may have as its time.
ASKED: Final = f"^(?:{_RFC_3339}|{_NUMBER}|{_AGO})$"
