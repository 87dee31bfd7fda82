"""What ``dead`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from galaxy_notify.cli.output import (
    clock,
    count,
    echo,
    echo_json,
    echo_table,
    history_lines,
    note,
    shortened,
)
from galaxy_notify.cli.screen import bad, faint, printable, strong, wrapped
from galaxy_notify.model.wording import ago

if TYPE_CHECKING:
    from galaxy_notify.operations.dead_letter import DeadLetterView
    from galaxy_notify.operations.dead_letters import DeadStats

_TOP: Final = 20
_SAMPLE: Final = 3
_HEADER: Final = ("died", "class", "attempts", "type", "producer", "id", "message")


def show_table(letters: Iterable[DeadLetterView], now_ms: int, *, as_json: bool) -> None:
    """Print a line for each, as columns or as JSON."""
    if as_json:
        for letter in letters:
            echo_json(letter.as_json())
        return
    rows = [
        (
            ago(letter.dead_at_ms, now_ms, 1),
            bad(printable(letter.failure_class or "?")),
            letter.attempts,
            printable(letter.type or "?"),
            printable(letter.producer or "?"),
            printable(letter.id),
            shortened(letter.failure.message, 60),
        )
        for letter in letters
    ]
    echo_table(_HEADER, rows, whole=("id",), uncut=("died", "class"))


def explain(letter: DeadLetterView, now_ms: int) -> None:
    """Tell why one died, and its history."""
    echo(strong(printable(letter.id)))
    message = printable(letter.failure.message).replace("\n", " ").strip()
    facts = (
        ("died", f"{clock(letter.dead_at_ms)}, {ago(letter.dead_at_ms, now_ms)}"),
        ("why", f"{bad(printable(letter.failure_class or '?'))} {message}"),
        ("type", printable(letter.type or "?")),
        ("producer", printable(letter.producer or "?")),
        ("attempts", f"{letter.attempts} in generation {letter.generation}"),
        ("worker", printable(letter.failure.worker or "?")),
    )
    for name, value in facts:
        echo("\n".join(wrapped(value, first=f"  {name:<10}", indent=" " * 12)))
    for text in history_lines(letter.explained()["history"]):
        echo(text)


def show_sample(letters: Iterator[DeadLetterView]) -> int:
    """Show a few of those that a person is asked about; return how many there are."""
    sample = list(islice(letters, _SAMPLE))
    number = len(sample) + sum(1 for _ in letters)
    for letter in sample:
        why = f"{letter.failure_class}: {letter.failure.message}"
        note(f"  {printable(letter.id)}  {shortened(why, 60)}")
    if number > len(sample):
        note(f"  and {count(number - len(sample))} more")
    return number


def stats_as_json(counted: DeadStats) -> dict[str, object]:
    """Return the counts as one document."""
    return {
        "total": counted.total,
        "oldest_ms": counted.oldest_ms,
        "newest_ms": counted.newest_ms,
        "classes": dict(counted.classes.most_common()),
        "channels": dict(counted.channels.most_common()),
        "types": dict(counted.types.most_common()),
        "producers": dict(counted.producers.most_common()),
    }


def show_stats(counted: DeadStats, now_ms: int) -> None:
    """Print the counts, the largest first."""
    echo(f"{strong(count(counted.total))} dead")
    if counted.oldest_ms is not None and counted.newest_ms is not None:
        oldest, newest = ago(counted.oldest_ms, now_ms), ago(counted.newest_ms, now_ms)
        echo(f"the oldest died {oldest}, the newest {newest}")
    names = ("class", "channel", "type", "producer")
    kinds = (counted.classes, counted.channels, counted.types, counted.producers)
    for what, counts in zip(names, kinds, strict=True):
        rows = [(number, printable(name or "?")) for name, number in counts.most_common(_TOP)]
        if rows:
            echo()
            echo_table(("count", what), rows)
        if len(counts) > _TOP:
            echo(faint(f"and {count(len(counts) - _TOP)} more"))
