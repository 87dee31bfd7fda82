"""What a terminal shows: which characters and colours, how many columns and lines they take."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final
from unicodedata import category, combining, east_asian_width

import click

from galaxy_notify.cli.standard_streams import is_terminal

#: Of a terminal that does not say how large it is.
_COLUMNS: Final = 80
_LINES: Final = 24
_LEAST: Final = 20
_MOST: Final = 100_000
#: A command to copy, in its quotes, or else a word; each with the space before it.
_PIECE: Final = re.compile(r"(\s*)(\S*`[^`]*`[^\s`]*|\S+)")

#: Characters without a width that join, part or mark what stands beside them: joiners, the word
#: joiner, the soft hyphen, the two marks of direction, the byte order mark.
_ZERO_WIDTH: Final = frozenset("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")
#: The tags that flags of regions are written with.
_TAGS: Final = range(0xE0020, 0xE0080)


def printable(text: str) -> str:
    """Return text that cannot steer a terminal; line ends and tabs stay.

    Spaces of every kind stay, and characters without a width that letters and emoji are joined
    with; those that change the direction of what follows do not.
    """
    return "".join(c if _is_shown(c) or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def escaped(json_text: str) -> str:
    """Return a line of JSON that cannot steer a terminal, and still says the same."""
    return "".join(c if _is_shown(c) else json.dumps(c)[1:-1] for c in json_text)


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


def line_width() -> int | None:
    """Return the columns of a line: ``COLUMNS``, else the terminal's; None where nothing limits."""
    if given := _number("COLUMNS"):
        return max(_LEAST, given)
    if not is_terminal(sys.stdout):
        return None
    return max(_LEAST, _terminal_size()[0] or _COLUMNS)


def wrapped(text: str, *, indent: str = "", first: str = "", most: int | None = None) -> list[str]:
    """Break text between words, so that each line fits; a command in backquotes stays in one piece.

    The first line begins with *first*, the others with *indent*. No line is longer than *most*, if
    that is less than what the terminal holds; without both nothing is broken.
    """
    limits = [limit for limit in (line_width(), most) if limit]
    if not limits:
        return [first + text]
    room = min(limits)
    lines, line, used = [], first, columns_of(click.unstyle(first))
    begun = False
    for gap, piece in _PIECE.findall(text):
        width = columns_of(click.unstyle(piece))
        if begun and used + len(gap) + width > room:
            lines.append(line)
            line, used, gap = indent, len(indent), ""
        line += gap + piece
        used += len(gap) + width
        begun = True
    return [*lines, line]


def on_screen(lines: Iterable[str], hint: str) -> list[str]:
    """Return the lines that the screen holds; the last one says how many there are more."""
    every = list(lines)
    columns = line_width() or _COLUMNS
    height = (_number("LINES") or _terminal_size()[1] or _LINES) - 1
    shown, used = list[str](), 0
    for line in every:
        used += _rows(line, columns)
        if used > height:
            break
        shown.append(line)
    if len(shown) == len(every):
        return shown
    while shown and sum(_rows(line, columns) for line in shown) > height - 1:
        shown.pop()
    return [*shown, f"{len(every) - len(shown)} more lines: {hint}"]


def redrawn(lines: Iterable[str]) -> Iterator[str]:
    """Yield what draws lines over what the screen shows; what has scrolled away is kept."""
    yield "\033[H"
    for line in lines:
        yield f"{line}\033[K\n"
    yield "\033[J"


def _rows(line: str, columns: int) -> int:
    return max(1, -(-columns_of(click.unstyle(line)) // columns))


def _number(variable: str) -> int:
    given = os.environ.get(variable, "")
    return min(int(given), _MOST) if re.fullmatch("[0-9]{1,18}", given) else 0


def _terminal_size() -> tuple[int, int]:
    try:
        return os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return 0, 0


def _is_shown(character: str) -> bool:
    """Return whether a terminal shows a character without being steered by it."""
    return (
        character.isprintable()
        or character in _ZERO_WIDTH
        or ord(character) in _TAGS
        or category(character) == "Zs"
    )


@lru_cache(maxsize=4096)
def _columns(character: str) -> int:
    if combining(character) or category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def good(text: str) -> str:
    """Colour what is well."""
    return click.style(text, fg="green")


def warn(text: str) -> str:
    """Colour what deserves a look."""
    return click.style(text, fg="yellow")


def bad(text: str) -> str:
    """Colour what is wrong."""
    return click.style(text, fg="red", bold=True)


def faint(text: str) -> str:
    """Colour what is only there for completeness."""
    return click.style(text, dim=True)


def strong(text: str) -> str:
    """Colour a heading."""
    return click.style(text, bold=True)
