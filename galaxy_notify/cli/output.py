"""What every command prints with: tables, times, numbers and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from galaxy_notify.cli.screen import cut, faint, printable, wrapped
from galaxy_notify.cli.standard_streams import RESULTS, is_terminal, say
from galaxy_notify.cli.tables import Cell, table


def echo(text: str = "") -> None:
    """Print a line of the results; colours are left out unless a terminal shows it."""
    RESULTS.write(text)


def note(text: str) -> None:
    """Print a line that is no result, on standard error."""
    say(text)


def sum_up(text: str, code: int) -> None:
    """Print a summary on standard error, for a person, or because the results were not read.

    Without a reader it is printed where the exit code tells of a failure only.
    """
    if is_terminal(sys.stderr) or (is_unread() and code):
        say(text)


def is_unread() -> bool:
    """Return whether some results were not read: the reader left, or the disk is full."""
    return RESULTS.lost is not None


def echo_table(
    header: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    indent: str = "",
    whole: Collection[str] = (),
    uncut: Collection[str] = (),
) -> None:
    """Print rows in columns, as `table` lays them out."""
    for line in table(header, rows, indent=indent, whole=whole, uncut=uncut):
        echo(line)


def echo_json(document: object) -> None:
    """Print one JSON document on one line."""
    echo(json.dumps(document, separators=(",", ":")))


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
    return cut(printable(text).replace("\n", " "), width)


def history_lines(history: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a history, the oldest first; *history* is what ``--json`` prints of it."""
    for line in history:
        at = f"  {faint(clock(line['at_ms']))}  "
        yield from wrapped(_history_line(line), first=at, indent="      ")


def _history_line(line: Mapping[str, Any]) -> str:
    details = [
        line["event"],
        f"attempt {line['attempt']}" if line["attempt"] else "",
        ": ".join(filter(None, (line["class"], line["message"]))),
        line["stream_id"],
        f"by {line['worker']}" if line["worker"] else "",
    ]
    return printable("  ".join(detail for detail in details if detail)).replace("\n", " ")
