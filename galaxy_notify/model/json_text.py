"""External JSON text: a scan of its shape before it is parsed, and its value.

A scan costs a few milliseconds per megabyte; parsing a text of many small lists costs a hundred
times as much. So the scan refuses a text that is too deep or has too many values.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import accumulate
from typing import Any, Final, NamedTuple, NoReturn

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.json_data import printable

#: Deeper than any accepted text: the data of an intent may have 32 levels.
MOST_LEVELS: Final = 64
_PIECE: Final = 1 << 16
# +1 opens a level, -1 closes one; all other bytes are removed.
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_STEPS: Final = bytes(sorted({*range(256)} - {*b"[]{}"}))
#: A shorter text, in bytes, is parsed without a scan.
_SHORT: Final = 4096
#: Parsing a whole number takes time quadratic in its digits, and blocks all threads.
_MOST_DIGITS: Final = 256


class JsonLimits(NamedTuple):
    """The most containers and values in a text; *values* does not count the containers."""

    containers: int
    values: int


#: The limits for a request body or an intent of the stream.
USUAL: Final = JsonLimits(1 << 16, 1 << 19)


class Shape:
    """A scan of a text, piece by piece: its depth and how many values it has so far."""

    def __init__(self, what: str, limits: JsonLimits | None = None) -> None:
        """Begin; errors name the text *what*. Without *limits* only the depth is limited."""
        self._what = what
        self._limits = limits
        self._depth = 0
        self._inside = 0
        self._escape = b""
        self.containers = 0
        self.commas = 0

    @property
    def values(self) -> int:
        """How many values were read so far, containers included."""
        return self.containers + self.commas

    def read(self, piece: bytes) -> None:
        """Scan the next piece; raise `InvalidIntent` once the text is over a limit."""
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
        """Return the bytes outside of strings; an escape may be split between two pieces."""
        piece = (self._escape + piece).replace(rb"\\", b"")
        self._escape = b"\\" if piece.endswith(b"\\") else b""
        parts = piece.replace(rb"\"", b"").split(b'"')
        outside = b"".join(parts[self._inside :: 2])
        self._inside = (self._inside + len(parts) - 1) % 2
        return outside

    def _check(self) -> None:
        limits = self._limits
        if limits is None:
            return
        for name, count, most in (
            ("lists and objects", self.containers, limits.containers),
            ("values", self.commas, limits.values),
        ):
            if count > most:
                message = f"{self._what} has more than {most:,} {name}"
                raise InvalidIntent("", message, "too_large")


def check_shape(raw: bytes, what: str, limits: JsonLimits | None = None) -> Shape:
    """Scan a whole text; raise `InvalidIntent` if it is over a limit."""
    shape = Shape(what, limits)
    shape.read(raw)
    return shape


def parse_json(raw: bytes, what: str, limits: JsonLimits | None = None) -> Any:
    """Return the value of a text; raise `InvalidIntent`, which names the text *what*.

    A text over *limits*, or nested too deeply, is refused before it is parsed.
    """
    if len(raw) > _SHORT:
        check_shape(raw, what, limits)
    return read_json(raw, what)


def read_json(raw: bytes, what: str) -> Any:
    """Return the value of a text whose shape was checked; raise `InvalidIntent`."""
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
        reason = f"{what} is not JSON: {error} is not a number"
    except ValueError:
        reason = f"{what} is not JSON: a number has too many digits"
    except RecursionError:
        reason = f"{what} is nested too deeply"
    raise InvalidIntent("", reason)


class _Constant(Exception):
    """A constant such as NaN, which JSON does not have."""


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
