"""The history of a route, as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from galaxy_notify.cli.ending import printable
from galaxy_notify.cli.output import clock, faint
from galaxy_notify.cli.screen import wrapped


def history_lines(history: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a history, the oldest first; *history* is what ``--json`` prints of it."""
    for line in history:
        at = f"  {faint(clock(line['at_ms']))}  "
        yield from wrapped(_told(line), first=at, indent="      ")


def _told(line: Mapping[str, Any]) -> str:
    details = [
        line["event"],
        f"attempt {line['attempt']}" if line["attempt"] else "",
        ": ".join(filter(None, (line["class"], line["message"]))),
        line["stream_id"],
        f"by {line['worker']}" if line["worker"] else "",
    ]
    return printable("  ".join(detail for detail in details if detail)).replace("\n", " ")
