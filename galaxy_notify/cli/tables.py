"""Tables that fit the terminal: columns are cut, names stand above, or each value has a line."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import click

from galaxy_notify.cli.screen import columns_of, cut, line_width

Cell = str | int | float | None

_GAPS: Final = ("  ", " ")
#: No column of text is made narrower than this.
_LEAST: Final = 8
_COLOURED: Final = re.compile(r"((?:\x1b\[[0-9;]*m)*)(.*?)((?:\x1b\[0m)?)", re.DOTALL)


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    indent: str = "",
    whole: Collection[str] = (),
    uncut: Collection[str] = (),
) -> list[str]:
    """Lay rows out in columns: numbers to the right, text to the left; nothing for no rows.

    No line is longer than the terminal's. Where the rows do not fit, columns of text are cut, but
    not those in *uncut*; then the columns named in *whole*, which a user may want to copy,
    stand on lines of their own above their rows; and at last each value has its own line.
    """
    shown = [[_text(cell) for cell in row] for row in rows]
    if not shown:
        return []
    columns = [_Column(name, [row[i] for row in shown]) for i, name in enumerate(header)]
    for column in columns:
        column.is_whole = column.is_numeric or column.name in (*whole, *uncut)
    width = line_width()
    room = None if width is None else width - len(indent)
    named = [column for column in columns if column.name in whole]
    rest = [column for column in columns if column.name not in whole]
    lines = (
        _side_by_side(columns, room)
        or _under_names(named, rest, room)
        or list(_one_by_one(named, rest, room))
    )
    return [indent + line for line in lines]


class _Column:
    """A column: its cells as they are shown, and how wide it is to be."""

    def __init__(self, name: str, cells: list[str]) -> None:
        self.name = name
        self.cells = cells
        self.is_numeric = all(map(_is_number, cells))
        self.is_whole = False
        self.width = max(map(_width, (name, *cells)))

    def lines(self, width: int) -> list[str]:
        """Return the header and the cells, each as wide as that."""
        return [_fit(text, width, right=self.is_numeric) for text in (self.name, *self.cells)]

    @property
    def least(self) -> int:
        """Return how narrow it may become."""
        return self.width if self.is_whole else min(self.width, max(_LEAST, _width(self.name)))


def _side_by_side(columns: Sequence[_Column], room: int | None) -> list[str] | None:
    """Return the table; None where it does not fit."""
    for gap in _GAPS:
        widths = _widths(columns, None if room is None else room - len(gap) * (len(columns) - 1))
        if widths is not None:
            laid = [column.lines(width) for column, width in zip(columns, widths, strict=True)]
            first, *rows = (gap.join(cells).rstrip() for cells in zip(*laid, strict=True))
            return [click.style(first, dim=True), *rows]
    return None


def _widths(columns: Sequence[_Column], room: int | None) -> list[int] | None:
    """Return the widths that fit, the widest column cut first; None where none do."""
    widths = [column.width for column in columns]
    if room is None:
        return widths
    while (over := sum(widths) - room) > 0:
        spare = [(widths[i], i) for i, column in enumerate(columns) if widths[i] > column.least]
        if not spare:
            return None
        widest, i = max(spare)
        others = [width for width, j in spare if j != i]
        down_to = max([columns[i].least, *(width - 1 for width in others if width <= widest)])
        widths[i] = max(columns[i].least, min(widest - 1, max(widest - over, down_to)))
    return widths


def _under_names(
    named: Sequence[_Column], rest: Sequence[_Column], room: int | None
) -> list[str] | None:
    """Return the names on lines of their own, and below each the rest of its row."""
    below = _side_by_side(rest, room and room - 2) if named and rest else None
    if below is None:
        return None
    head, *rows = below
    lines = [f"  {head}"]
    for i, row in enumerate(rows):
        lines += [*(column.cells[i] for column in named), f"  {row}"]
    return lines


def _one_by_one(
    named: Sequence[_Column], rest: Sequence[_Column], room: int | None
) -> Iterator[str]:
    """Yield each value on a line of its own."""
    names = max((_width(column.name) for column in rest), default=0)
    for i in range(len([*named, *rest][0].cells)):
        yield from (column.cells[i] for column in named)
        for column in rest:
            head = click.style(_fit(column.name, names, right=False), dim=True)
            head = f"{'  ' * bool(named)}{head}  "
            left = None if room is None or column.is_whole else room - _width(head)
            yield (head + _shortened(column.cells[i], left)).rstrip()


def _text(cell: Cell) -> str:
    if cell is None:
        return "–"
    return cell.replace("\n", " ") if isinstance(cell, str) else f"{cell:,}"


def _width(text: str) -> int:
    return columns_of(click.unstyle(text))


def _is_number(text: str) -> bool:
    return click.unstyle(text).replace(",", "").replace(".", "").replace("–", "0").isdigit()


def _fit(text: str, width: int, *, right: bool) -> str:
    text = _shortened(text, width)
    pad = " " * (width - _width(text))
    return pad + text if right else text + pad


def _shortened(text: str, width: int | None) -> str:
    """Cut text to a width; its colour stays."""
    parts = _COLOURED.fullmatch(text)
    if width is None or parts is None or _width(text) <= width:
        return text
    colour, inner, end = parts.groups()
    return f"{colour}{cut(inner, max(1, width))}{end}"
