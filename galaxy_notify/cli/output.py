"""What every command prints with: tables, colours, times, numbers and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import click

from galaxy_notify.cli.ending import printable
from galaxy_notify.model.wording import ago, duration

__all__ = [
    "Cell",
    "ago",
    "bad",
    "clock",
    "count",
    "duration",
    "echo",
    "echo_json",
    "faint",
    "good",
    "note",
    "plural",
    "shortened",
    "strong",
    "table",
    "warn",
]

Cell = str | int | float | None

_GAP: Final = "  "


def echo(text: str = "") -> None:
    """Print a line; colours are left out unless a terminal shows it."""
    click.echo(text)


def note(text: str) -> None:
    """Print a line that is no result, on standard error."""
    click.echo(text, err=True)


def echo_json(document: object) -> None:
    """Print one JSON document on one line."""
    click.echo(json.dumps(document, separators=(",", ":")))


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


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]], *, indent: str = "") -> list[str]:
    """Lay rows out in columns: numbers to the right, text to the left; nothing for no rows."""
    shown = [[_cell(cell) for cell in row] for row in rows]
    raw = [list(header), *shown]
    if not shown:
        return []
    widths = [max(_width(row[i]) for row in raw) for i in range(len(header))]
    numeric = [all(_is_number(row[i]) for row in shown) for i in range(len(header))]
    lines = [
        _GAP.join(_fit(text, widths[i], right=numeric[i]) for i, text in enumerate(row)).rstrip()
        for row in raw
    ]
    return [indent + faint(lines[0]), *(indent + line for line in lines[1:])]


def count(number: int) -> str:
    """Write a number with separators: 1,234,567."""
    return f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """Count things: ``1 route``, ``2 routes``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def clock(at_ms: int) -> str:
    """Write a moment in UTC: ``2026-11-20 10:43:59.123Z``."""
    try:
        moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(at_ms)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03d}Z"


def shortened(text: str, width: int) -> str:
    """Cut text to a width, marking the cut."""
    text = printable(text).replace("\n", " ")
    return text if len(text) <= width else text[: width - 1] + "…"


def _cell(cell: Cell) -> str:
    if cell is None:
        return "–"
    return printable_cell(cell) if isinstance(cell, str) else f"{cell:,}"


def printable_cell(text: str) -> str:
    """Return a cell's text on one line; our own colours stay."""
    return text.replace("\n", " ")


def _width(text: str) -> int:
    return len(click.unstyle(text))


def _is_number(text: str) -> bool:
    return click.unstyle(text).replace(",", "").replace(".", "").replace("–", "0").isdigit()


def _fit(text: str, width: int, *, right: bool) -> str:
    pad = " " * (width - _width(text))
    return pad + text if right else text + pad
