"""``intake rejects``: look at what could not be accepted, hand it in again, or give it up."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from galaxy_notify.cli.context import Application, json_option, listing, pass_application
from galaxy_notify.cli.dead_options import moment_text
from galaxy_notify.cli.exits import Exit, print_error
from galaxy_notify.cli.output import clock, count, echo, echo_json, note, plural, shortened, table
from galaxy_notify.cli.prompts import confirm, is_interactive, yes_option
from galaxy_notify.cli.standard_streams import standard_input

if TYPE_CHECKING:
    from galaxy_notify.operations.rejects import Outcome, RejectFilter, Rejects
    from galaxy_notify.redis_inspect.rejects import RejectRow

Command = TypeVar("Command", bound=Callable[..., Any])

_SHOWN: Final = 100
_PAGE: Final = 500
_HEAD: Final = ("id", "at", "code", "field", "message", "intent")
_CODES: Final = ("invalid", "conflict", "too_large", "abandoned")
_ID: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
_DONE: Final = {"replay": "in the stream again", "purge": "purged"}


@dataclass(frozen=True)
class Chosen:
    """What was asked for: ids, or else a filter."""

    ids: tuple[str, ...]
    codes: tuple[str, ...]
    since: str | None
    until: str | None
    limit: int | None
    everything: bool

    @property
    def narrows(self) -> bool:
        """Tell whether a filter was given; a limit alone picks nothing."""
        return bool(self.codes or self.since or self.until)

    def filter(self, default_limit: int | None = None) -> RejectFilter:
        """Return the filter."""
        from galaxy_notify.operations.dead_filter import moment_ms
        from galaxy_notify.operations.rejects import RejectFilter

        now_ms = time.time_ns() // 1_000_000
        since, until = (
            moment_ms(text, now_ms) if text else None for text in (self.since, self.until)
        )
        limit = self.limit or (None if self.everything else default_limit)
        return RejectFilter(self.codes, since, until, limit)

    def rows(self, rejects: Rejects, default_limit: int | None = None) -> Iterator[RejectRow]:
        """Yield what was asked for, as far as it is there."""
        if self.ids:
            yield from (row for row in rejects.find(self.named()) if row is not None)
        else:
            yield from rejects.matching(self.filter(default_limit))

    def named(self) -> list[str]:
        """Return the ids; - stands for those on standard input."""
        if self.ids != ("-",):
            return list(self.ids)
        lines = (line.decode("utf-8", "replace").strip() for line in standard_input())
        return [_checked(_id_in(line)) for line in lines if line]


def choosing(command: Command) -> Command:
    """Add the filters and the ids to a command."""
    options: list[Callable[[Any], Any]] = [
        click.option("--all", "everything", is_flag=True, help="Every one; without any limit."),
        click.option("--limit", type=click.IntRange(min=1), help="At most so many, oldest first."),
        click.option(
            "--until", callback=moment_text, metavar="TIME", help="Rejected then or before."
        ),
        click.option(
            "--since",
            callback=moment_text,
            metavar="TIME",
            help="Rejected then or later: RFC 3339, epoch ms, or so long ago (15m, 2h, 3d).",
        ),
        click.option(
            "--code",
            "codes",
            multiple=True,
            type=click.Choice(_CODES),
            metavar="CODE",
            help=f"Why: {', '.join(_CODES)}. May be repeated.",
        ),
        click.argument("ids", nargs=-1, metavar="[ID...|-]"),
    ]
    for option in options:
        command = option(command)
    return command


@click.group("rejects")
def rejects() -> None:
    """Look after intents that could not be accepted.

    They rest in the stream that ends in :rejects until somebody replays or purges them.
    """


@rejects.command("ls")
@choosing
@json_option
@pass_application
@listing
def ls(app: Application, /, as_json: bool, **given: Any) -> int:
    """List rejects, the oldest first; 100 unless --limit or --all."""
    from galaxy_notify.operations.rejects import as_json as told

    chosen, shown = _chosen(given), 0
    with _opened(app) as found:
        rows = iter(chosen.rows(found, _SHOWN))
        while page := list(islice(rows, _PAGE)):
            shown += len(page)
            if as_json:
                for row in page:
                    echo_json(told(row))
            else:
                for line in table(_HEAD, [_cells(told(row)) for row in page], whole=("id",)):
                    echo(line)
    if not chosen.ids and shown == (chosen.limit or (None if chosen.everything else _SHOWN)):
        note(f"{count(shown)} shown, there may be more: --limit N, --all")
    if not shown:
        note("nothing matched")
        return Exit.NOTHING
    return Exit.PARTLY if chosen.ids and shown < len(chosen.ids) else Exit.OK


@rejects.command("replay")
@choosing
@yes_option
@json_option
@pass_application
def replay(app: Application, /, yes: bool, as_json: bool, **given: Any) -> int:
    """Put intents back into the stream, as they were; each moves once.

    Of an intent that was too large only the beginning is kept: it cannot be replayed.
    """
    del yes  # nothing is destroyed; accepted for the likeness with purge
    chosen = _to_move("replay", given)
    with _opened(app) as found:
        outcome = found.replay(_ids(chosen, found))
    return _ended("replay", outcome, as_json=as_json)


@rejects.command("purge")
@choosing
@yes_option
@json_option
@pass_application
def purge(app: Application, /, yes: bool, as_json: bool, **given: Any) -> int:
    """Give rejects up for good; `intake rejects ls --json` keeps a copy."""
    chosen = _to_move("purge", given)
    if not chosen.ids and not yes and not is_interactive():
        confirm("purge of many rejects", yes=False)
    with _opened(app) as found:
        ids = list(_ids(chosen, found))
        if ids and not chosen.ids:
            confirm(f"purge {plural(len(ids), 'reject')}?", yes=yes)
        outcome = found.purge(ids)
    return _ended("purge", outcome, as_json=as_json)


def _chosen(given: dict[str, Any]) -> Chosen:
    chosen = Chosen(**given)
    if chosen.ids and (chosen.narrows or chosen.everything or chosen.limit):
        raise click.UsageError("give ids or filters, not both")
    if "-" in chosen.ids and len(chosen.ids) > 1:
        raise click.UsageError("- stands alone: all ids then come from standard input")
    if chosen.ids != ("-",):
        for text in chosen.ids:
            _checked(text)
    return chosen


def _to_move(verb: str, given: dict[str, Any]) -> Chosen:
    chosen = _chosen(given)
    if not (chosen.ids or chosen.narrows or chosen.everything):
        raise click.UsageError(f"say which to {verb}: ids, a filter such as --code, or --all")
    return chosen


def _checked(text: str) -> str:
    if not _ID.fullmatch(text):
        raise click.UsageError(f"not the id of a reject: {text}")
    return text


def _id_in(line: str) -> str:
    """Return the id in a line, which may be one that `ls --json` printed."""
    try:
        return str(json.loads(line)["id"]) if line.startswith("{") else line
    except (ValueError, RecursionError, LookupError, TypeError):
        return line


def _ids(chosen: Chosen, found: Rejects) -> Iterator[str]:
    if chosen.ids:
        yield from chosen.named()
    else:
        yield from (row.id for row in found.matching(chosen.filter()))


@contextmanager
def _opened(app: Application) -> Iterator[Rejects]:
    from galaxy_notify.operations.rejects import Rejects
    from galaxy_notify.redis_state.keys import IntentKeys

    with app.open() as place:
        yield Rejects(place, IntentKeys(app.settings.intake.stream))


def _cells(told: dict[str, Any]) -> list[str]:
    shown = [shortened(told[name], width) for name, width in (("message", 60), ("intent", 40))]
    code, name = shortened(told["code"], 20), shortened(told["field"], 30)
    return [told["id"], clock(told["at_ms"]), code, name, *shown]


def _ended(verb: str, outcome: Outcome, *, as_json: bool) -> int:
    if as_json:
        echo_json(
            {
                "action": verb,
                "matched": outcome.matched,
                "moved": outcome.moved,
                "gone": outcome.gone,
                "failed": outcome.failed.total(),
                "reasons": dict(outcome.failed),
                "error": outcome.fault or None,
            }
        )
    else:
        _tell(verb, outcome)
    if outcome.fault:
        print_error(f"redis went away: {outcome.fault}; run it again, each moves once")
        return Exit.PARTLY if outcome.moved else Exit.FAILED
    if outcome.gone == outcome.matched:
        return Exit.NOTHING
    if outcome.moved == outcome.matched:
        return Exit.OK
    return Exit.PARTLY if outcome.moved else Exit.FAILED


def _tell(verb: str, outcome: Outcome) -> None:
    if not outcome.matched:
        note("nothing matched")
        return
    echo(f"moved {outcome.moved} of {outcome.matched}: {_DONE[verb]}")
    for reason, number in {"no reject (any more)": outcome.gone, **outcome.failed}.items():
        if number:
            echo(f"  {number} not: {reason}")
