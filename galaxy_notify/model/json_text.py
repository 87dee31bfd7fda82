"""JSON text from outside: its shape, found before it is parsed, and its value.

A scan costs a few milliseconds a megabyte; to parse a text of many small lists costs a hundred
times as much. So a text that is too deep or has too many values is refused by its scan.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import accumulate
from typing import Any, Final, NamedTuple, NoReturn

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.json_data import printable

#: Deeper than any text that is accepted: the data of an intent may have 32 levels.
MOST_LEVELS: Final = 64
_PIECE: Final = 1 << 16
# +1 opens a level, -1 closes one; what is not among these is left out.
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_STEPS: Final = bytes(sorted({*range(256)} - {*b"[]{}"}))
#: In a shorter text nothing can take long.
_SHORT: Final = 4096
#: The time that a whole number takes grows with the square of its digits, and nothing else runs.
_MOST_DIGITS: Final = 256


class JsonLimits(NamedTuple):
    """What a text may have at most; the *values* are counted without the containers."""

    containers: int
    values: int


#: What any body, or any intent of the stream, may have.
USUAL: Final = JsonLimits(1 << 16, 1 << 19)


class Shape:
    """What is known of a text, from as much of it as was read; bounded work for each piece."""

    def __init__(self, what: str, limits: JsonLimits | None = None) -> None:
        """Begin; errors call the text *what*. Without *limits* only the depth is bounded."""
        self._what = what
        self._limits = limits
        self._depth = 0
        self._inside = 0
        self._escape = b""
        self.containers = 0
        self.commas = 0

    @property
    def values(self) -> int:
        """Return how many values were found so far, containers included."""
        return self.containers + self.commas

    def read(self, piece: bytes) -> None:
        """Read on; raise `InvalidIntent` as soon as the text is too deep or has too much."""
        for start in range(0, len(piece), _PIECE):
            self._read(piece[start : start + _PIECE])

    def _read(self, piece: bytes) -> None:
        outside = self._outside(piece)
        opened = outside.count(b"[") + outside.count(b"{")
        self.containers += opened
        self.commas += outside.count(b",")
        if opened:
            steps = memoryview(outside.translate(_STEPS, _NOT_STEPS)).cast("b")
            *_, self._depth = depths = [*accumulate(steps, initial=self._depth)]
            if max(depths) > MOST_LEVELS:
                raise InvalidIntent("", f"{self._what} is nested too deeply")
        else:
            self._depth -= outside.count(b"]") + outside.count(b"}")
        self._check()

    def _outside(self, piece: bytes) -> bytes:
        """Return what stands outside of texts; an escape may be divided between two pieces."""
        piece = (self._escape + piece).replace(rb"\\", b"")
        self._escape = b"\\" if piece.endswith(b"\\") else b""
        parts = piece.replace(rb"\"", b"").split(b'"')
        found = b"".join(parts[self._inside :: 2])
        self._inside = (self._inside + len(parts) - 1) % 2
        return found

    def _check(self) -> None:
        limits = self._limits
        if limits is None:
            return
        for name, found, most in (
            ("lists and objects", self.containers, limits.containers),
            ("values", self.commas, limits.values),
        ):
            if found > most:
                message = f"{self._what} has more than {most:,} {name}"
                raise InvalidIntent("", message, "too_large")


def check_shape(raw: bytes, what: str, limits: JsonLimits | None = None) -> Shape:
    """Scan a whole text; raise `InvalidIntent` where it is too deep or has too much."""
    shape = Shape(what, limits)
    shape.read(raw)
    return shape


def parse_json(raw: bytes, what: str, limits: JsonLimits | None = None) -> Any:
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
