"""JSON text from outside, read within bounds, with the place where it stops being JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from galaxy_notify.model.json_data import printable


class NotJson(Exception):
    """A text is no JSON that we take; ``field`` is the name that is to blame, if one is."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(f"{field} {message}" if field else message)
        self.message = message
        self.field = field


def read_json(raw: bytes) -> Any:
    """Return the value of a JSON text; raise `NotJson` with the place of what is wrong."""
    try:
        text = raw.decode("utf-8")
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno} (character {error.pos + 1})"
        raise NotJson(f"not JSON: {error.msg} at {place}") from None
    except ValueError:
        raise NotJson("not JSON: a number has far too many digits") from None
    except RecursionError:
        raise NotJson("nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise NotJson("is given twice", printable(twice))
    return named


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(f"not JSON: {name} is no number")
