"""The ``data`` of an intent: only values that JSON, msgpack and UTF-8 can all represent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from math import isfinite
from typing import Any, Final

from galaxy_notify.errors import Portable

MAX_DEPTH = 32
_PLAIN: Final = frozenset({str, bytes, int, float, bool, type(None), datetime})
_PLAIN_GROUPS: Final = frozenset({list, tuple, set, frozenset})
#: Errors that reading a plain value may raise.
_OF_PLAIN: Final = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError),
    *(RecursionError, TypeError, ValueError),
)
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1


class UnfitData(Portable):
    """A value that cannot be represented; ``path`` leads to it from the outside in."""

    def __init__(self, message: str, *steps: str) -> None:
        super().__init__(message)
        self.message = message
        self.steps = list(steps)

    @property
    def path(self) -> str:
        """The place within the data, such as ``.turns[2].at``."""
        return "".join(reversed(self.steps))


def copy_of(data: object) -> dict[str, Any]:
    """Return a copy of a mapping of JSON values; raise `UnfitData` for the first other value."""
    if not isinstance(data, Mapping):
        raise UnfitData(f"must be an object, not {kind_of(data)}")
    return _copy_dict(data, 1)


def is_carried(text: str) -> bool:
    """Return whether UTF-8 can encode the text; a lone surrogate cannot be encoded."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name: object, longest: int = 60) -> str:
    """Return an external name as printable text of at most *longest* characters."""
    # A third-party object is not asked for its text, and a huge number is not written out.
    safe = isinstance(name, str) or (isinstance(name, int | float) and abs(name) <= _INT_MAX)
    text = str(name if safe else type(name).__name__)[: longest + 1]
    text = text.encode("utf-8", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= longest else f"{text[:longest]}…"


def whole(value: object) -> object:
    """Return a whole number, such as 7.0 in JSON, as an integer; other values unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def kind_of(value: object) -> str:
    """Return the kind of a value in the words of JSON."""
    if value is None:
        return "null"
    for kinds, word in _KINDS:
        if isinstance(value, kinds):
            return word
    return printable(type(value).__name__)


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a truth value"),
    ((int, float), "a number"),
    (str, "text"),
    ((bytes, bytearray, memoryview), "bytes"),
    ((list, tuple), "a list"),
    (Mapping, "an object"),
)


def _copy_dict(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise UnfitData(f"is nested deeper than {MAX_DEPTH} levels")
    copied: dict[str, Any] = {}
    for key, item in value.items():
        name = key if type(key) is str and key.isascii() else _key(key)
        # A shortcut for most values.
        if type(item) is str and item.isascii():
            copied[name] = item
            continue
        try:
            copied[name] = _copy(item, depth)
        except UnfitData as unfit:
            unfit.steps.append(f".{printable(name)}")
            raise
    return copied


def _copy_list(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    if depth > MAX_DEPTH:
        raise UnfitData(f"is nested deeper than {MAX_DEPTH} levels")
    copied: list[Any] = []
    for index, item in enumerate(value):
        try:
            copied.append(_copy(item, depth))
        except UnfitData as unfit:
            unfit.steps.append(f"[{index}]")
            raise
    return copied


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise UnfitData(f"has a name that is {kind_of(key)}, not text", f".{printable(key)}")
    if not is_carried(key):
        raise UnfitData("has a name with a lone surrogate", f".{printable(key)}")
    return str.__str__(key)


def _copy(value: object, depth: int) -> Any:
    if value is None or value is True or value is False:
        return value
    for kinds, copy in _COPIES:
        if isinstance(value, kinds):
            return copy(value)
    if isinstance(value, Mapping):
        return _copy_dict(value, depth + 1)
    if isinstance(value, list | tuple):
        return _copy_list(value, depth + 1)
    raise UnfitData(f"must be a JSON value, not {kind_of(value)}")


def _copy_text(value: str) -> str:
    if not is_carried(value):
        raise UnfitData("contains a lone surrogate, which UTF-8 cannot encode")
    return str.__str__(value)


def _copy_int(value: int) -> int:
    if not _INT_MIN <= value <= _INT_MAX:
        raise UnfitData("must be a whole number of at most 64 bits")
    return int(value)


def _copy_float(value: float) -> float:
    if not isfinite(value):
        raise UnfitData("must be a finite number")
    return float(value)


_COPIES: tuple[tuple[type, Callable[[Any], object]], ...] = (
    (str, _copy_text),
    (int, _copy_int),
    (float, _copy_float),
)


def interrupts(error: Exception, value: Any) -> bool:
    """Return whether a signal handler, such as a time limit, must have raised *error*.

    True if *value* holds only plain values: reading them runs no code that could raise it.
    """
    return not isinstance(error, _OF_PLAIN) and _is_plain(value)


def _is_plain(value: Any) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            waiting += [*item, *item.values()]
        elif type(item) in _PLAIN_GROUPS:
            waiting += item
        elif type(item) not in _PLAIN:
            return False
    return True
