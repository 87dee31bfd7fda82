"""JSON text, as it comes from outside: one value, or what is wrong with it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final, NoReturn

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.json_data import printable
from galaxy_notify.model.json_shape import Limits, check_shape

#: In a shorter text nothing can take long.
_SHORT: Final = 4096
#: The time that a whole number takes grows with the square of its digits, and nothing else runs.
_MOST_DIGITS: Final = 256


def parse_json(raw: bytes, what: str, limits: Limits | None = None) -> Any:
    """Return the value that a text holds; raise ``InvalidIntent`` that calls the text *what*.

    A text that is too deep, or has more than *limits* allow, is refused before it is parsed.
    """
    if len(raw) > _SHORT:
        check_shape(raw, what, limits)
    return read_json(raw, what)


def read_json(raw: bytes, what: str) -> Any:
    """Return the value of a text whose shape was checked; raise ``InvalidIntent``."""
    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_int=_whole,
        )
    except UnicodeDecodeError as error:
        reason = f"{what} is not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        reason = f"{what} is not JSON: {error.msg} at {line}column {error.colno}"
    except _Constant as error:
        reason = f"{what} is not JSON: {error} is no number"
    except ValueError:
        reason = f"{what} is not JSON: a number has far too many digits"
    except RecursionError:
        reason = f"{what} is nested too deeply"
    raise InvalidIntent("", reason)


class _Constant(Exception):
    """A word such as NaN stands where JSON has a number."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise InvalidIntent(printable(twice), "is given twice")
    return named


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(digits[:_MOST_DIGITS])
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise _Constant(name)
