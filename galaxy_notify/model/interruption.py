"""Tells what a value raises when it is read from what interrupts the reading, as a time limit."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

_PLAIN: Final = frozenset({str, bytes, int, float, bool, type(None), datetime})
_PLAIN_GROUPS: Final = frozenset({list, tuple, set, frozenset})
#: What reading a plain value may come to.
_OF_PLAIN: Final = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError),
    *(RecursionError, TypeError, ValueError),
)


def interrupts(error: Exception, value: Any) -> bool:
    """Tell whether a signal handler must have raised it, because *value* has no code that could."""
    return not isinstance(error, _OF_PLAIN) and _is_plain(value)


def _is_plain(value: Any) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if type(one) is dict:
            waiting += [*one, *one.values()]
        elif type(one) in _PLAIN_GROUPS:
            waiting += one
        elif type(one) not in _PLAIN:
            return False
    return True
