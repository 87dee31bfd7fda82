"""How characters look on a terminal: which may be shown, and how many columns they take."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final
from unicodedata import category, combining, east_asian_width

#: Characters without a width that join, part or mark what stands beside them: joiners, the word
#: joiner, the soft hyphen, the two marks of direction, the byte order mark.
_ZERO_WIDTH: Final = frozenset("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")
#: The tags that flags of regions are written with.
_TAGS: Final = range(0xE0020, 0xE0080)


def shows(character: str) -> bool:
    """Tell whether a terminal shows a character without being steered by it."""
    return (
        character.isprintable()
        or character in _ZERO_WIDTH
        or ord(character) in _TAGS
        or category(character) == "Zs"
    )


def escaped(json_text: str) -> str:
    """Return a line of JSON that cannot steer a terminal, and still says the same."""
    return "".join(c if shows(c) else json.dumps(c)[1:-1] for c in json_text)


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def cut(text: str, columns: int) -> str:
    """Return text that takes no more columns than that; a mark stands where something was cut."""
    if columns_of(text) <= columns:
        return text
    kept, left = "", columns - 1
    for character in text:
        left -= _columns(character)
        if left < 0:
            break
        kept += character
    return kept + "…"


@lru_cache(maxsize=4096)
def _columns(character: str) -> int:
    if combining(character) or category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
