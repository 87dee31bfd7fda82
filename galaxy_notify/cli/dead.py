"""``dead``: look at, export, replay and purge dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify.cli.context import Application, json_option, pass_application
from galaxy_notify.cli.dead_moves import move, moving
from galaxy_notify.cli.dead_options import Chosen, choosing, chosen
from galaxy_notify.cli.ending import Exit, printable
from galaxy_notify.cli.output import (
    ago,
    bad,
    clock,
    count,
    echo,
    echo_json,
    faint,
    note,
    shortened,
    strong,
    table,
)

if TYPE_CHECKING:
    from galaxy_notify.operations.dead_letter import DeadLetter
    from galaxy_notify.operations.dead_letters import DeadLetters, DeadStats

_SHOWN: Final = 100
_CHUNK: Final = 500
_TOP: Final = 20
_HEADER: Final = ("died", "class", "attempts", "type", "producer", "id", "message")


@click.group("dead")
def command() -> None:
    """Look at, export, replay or purge dead letters.

    Name them by filters or by ids; - reads ids, or the output of ls --json, from standard input.
    """


@command.command("ls")
@choosing
@json_option
@pass_application
def ls(app: Application, /, as_json: bool, ids: tuple[str, ...], **given: Any) -> int:
    """List dead letters, the oldest first; 100 unless --limit or --all."""
    choice, missing = chosen(ids, given), list[str]()
    with opened(app) as letters:
        wanted = choice.filter(letters, _SHOWN)
        found = iter(choice.letters(letters, missing, wanted))
        now_ms = letters.now_ms()
        shown = 0
        while chunk := list(islice(found, _CHUNK)):
            shown += len(chunk)
            _print(chunk, now_ms, as_json=as_json)
    if choice.is_bulk and shown == wanted.limit:
        note(f"{count(shown)} shown, there may be more: --limit N, --all")
    return _ended(shown, missing)


@command.command("show")
@click.argument("ids", nargs=-1, required=True, metavar="ID...|-")
@json_option
@pass_application
def show(app: Application, as_json: bool, ids: tuple[str, ...]) -> int:
    """Explain dead letters: why each died, and its history."""
    choice, missing, shown = _ids_only(ids), list[str](), 0
    with opened(app) as letters:
        now_ms = letters.now_ms()
        for letter in choice.letters(letters, missing, choice.filter(letters)):
            shown += 1
            if as_json:
                echo_json(letter.explained())
            else:
                _explain(letter, now_ms)
    return _ended(shown, missing)


@command.command("stats")
@choosing
@json_option
@pass_application
def stats(app: Application, /, as_json: bool, ids: tuple[str, ...], **given: Any) -> int:
    """Count dead letters by class, channel, type and producer."""
    from galaxy_notify.operations.dead_letters import DeadStats

    choice, missing, counted = chosen(ids, given), list[str](), DeadStats()
    with opened(app) as letters:
        for letter in choice.letters(letters, missing, choice.filter(letters)):
            counted.add(letter)
        now_ms = letters.now_ms()
    if as_json:
        echo_json(_as_json(counted))
    else:
        _print_stats(counted, now_ms)
    return _ended(counted.total, missing) if missing else Exit.OK


@command.command("export")
@choosing
@json_option
@pass_application
def export(app: Application, /, as_json: bool, ids: tuple[str, ...], **given: Any) -> int:
    """Print everything about dead letters, with their payload, as JSON lines."""
    del as_json  # there is no other form
    choice, missing, shown = chosen(ids, given), list[str](), 0
    with opened(app) as letters:
        for letter in choice.letters(letters, missing, choice.filter(letters)):
            shown += 1
            echo_json(letter.exported())
    return _ended(shown, missing)


@command.command("replay")
@choosing
@moving
@json_option
@pass_application
def replay(app: Application, /, ids: tuple[str, ...], **given: Any) -> int:
    """Send dead letters on their way again: due now, all attempts anew, no expiry.

    It is safe to stop it at any point and to run it again: each moves once.
    """
    with opened(app) as letters:
        return move("replay", letters, chosen(ids, given))


@command.command("purge")
@choosing
@moving
@json_option
@pass_application
def purge(app: Application, /, ids: tuple[str, ...], **given: Any) -> int:
    """Give dead letters up for good; `dead export` keeps a copy."""
    with opened(app) as letters:
        return move("purge", letters, chosen(ids, given))


@contextmanager
def opened(app: Application) -> Iterator[DeadLetters]:
    """Connect to the dead letters of the deployment."""
    from galaxy_notify.operations.dead_letters import DeadLetters

    with app.open() as place:
        yield DeadLetters(place)


def _ids_only(ids: tuple[str, ...]) -> Chosen:
    unset = dict.fromkeys(("channel", "type", "producer", "failure_class", "since", "until"))
    return chosen(ids, {**unset, "limit": None, "everything": False})


def _ended(shown: int, missing: list[str]) -> int:
    for text in missing[:_TOP]:
        note(printable(f"no dead letter: {text}"))
    if len(missing) > _TOP:
        note(f"and {count(len(missing) - _TOP)} more")
    if not shown:
        if not missing:
            note("nothing matched")
        return Exit.NOTHING
    return Exit.PARTLY if missing else Exit.OK


def _print(letters: Iterable[DeadLetter], now_ms: int, *, as_json: bool) -> None:
    if as_json:
        for letter in letters:
            echo_json(letter.as_json())
        return
    rows = [
        (
            ago(letter.dead_at_ms, now_ms),
            bad(printable(letter.failure_class or "?")),
            letter.attempts,
            printable(letter.type or "?"),
            printable(letter.producer or "?"),
            printable(letter.id),
            shortened(letter.failure.message, 60),
        )
        for letter in letters
    ]
    for line in table(_HEADER, rows):
        echo(line)


def _explain(letter: DeadLetter, now_ms: int) -> None:
    echo(strong(printable(letter.id)))
    facts = (
        ("died", f"{clock(letter.dead_at_ms)}, {ago(letter.dead_at_ms, now_ms)}"),
        ("why", f"{bad(printable(letter.failure_class or '?'))} {_line(letter.failure.message)}"),
        ("type", printable(letter.type or "?")),
        ("producer", printable(letter.producer or "?")),
        ("attempts", f"{letter.attempts} in generation {letter.generation}"),
        ("worker", printable(letter.failure.worker or "?")),
    )
    for name, value in facts:
        echo(f"  {name:<10}{value}")
    rows = [
        (
            clock(line.at_ms),
            line.event,
            line.attempt or None,
            printable(line.worker),
            _line(f"{line.failure_class} {line.message}"),
        )
        for line in letter.history
    ]
    for text in table(("at", "event", "attempt", "by", "why"), rows, indent="  "):
        echo(text)


def _line(text: str) -> str:
    return printable(text).replace("\n", " ").strip()


def _as_json(counted: DeadStats) -> dict[str, object]:
    return {
        "total": counted.total,
        "oldest_ms": counted.oldest_ms,
        "newest_ms": counted.newest_ms,
        "classes": dict(counted.classes.most_common()),
        "channels": dict(counted.channels.most_common()),
        "types": dict(counted.types.most_common()),
        "producers": dict(counted.producers.most_common()),
    }


def _print_stats(counted: DeadStats, now_ms: int) -> None:
    echo(f"{strong(count(counted.total))} dead")
    if counted.oldest_ms is not None and counted.newest_ms is not None:
        oldest, newest = ago(counted.oldest_ms, now_ms), ago(counted.newest_ms, now_ms)
        echo(f"the oldest died {oldest}, the newest {newest}")
    _print_counts("class", counted.classes)
    _print_counts("channel", counted.channels)
    _print_counts("type", counted.types)
    _print_counts("producer", counted.producers)


def _print_counts(what: str, counts: Counter[str]) -> None:
    rows = [(number, printable(name or "?")) for name, number in counts.most_common(_TOP)]
    if not rows:
        return
    echo()
    for line in table(("count", what), rows):
        echo(line)
    if len(counts) > _TOP:
        echo(faint(f"and {count(len(counts) - _TOP)} more"))
