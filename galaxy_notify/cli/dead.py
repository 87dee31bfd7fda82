"""``dead``: look at, export, replay and purge dead letters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify.cli.context import (
    Application,
    actor,
    json_option,
    listing,
    only_json_option,
    pass_application,
    with_json,
)
from galaxy_notify.cli.dead_view import explain, show_sample, show_stats, show_table, stats_as_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.moves import check_bulk, report, stoppable
from galaxy_notify.cli.output import echo_json, plural
from galaxy_notify.cli.prompts import Progress, confirm, yes_option
from galaxy_notify.cli.selection import (
    MOST_LISTED,
    Listing,
    SelectableKind,
    Selection,
    refusing_unknown_values,
    repeated,
    selecting,
)
from galaxy_notify.model.failure_classes import FAILURE_CLASSES

if TYPE_CHECKING:
    from galaxy_notify.operations.dead_letter import DeadFilter, DeadLetterView
    from galaxy_notify.operations.dead_letters import DeadLetterReader


def _check_id(text: str) -> None:
    from galaxy_notify.model.ids import parse_target

    if parse_target(text) is None:
        raise click.UsageError(f"not the id of a notification, route or event: {text}")


def _channels(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    from galaxy_notify.model.ids import CHANNEL

    for name in value:
        if not re.fullmatch(CHANNEL, name):
            raise click.BadParameter(f"not a channel name: {name}")
    return tuple(dict.fromkeys(value))


_KIND: Final = SelectableKind(
    "dead letter",
    "Died",
    {
        "channels": repeated("--channel", "channels", "Channel.", callback=_channels),
        "types": repeated("--type", "types", "Notification type."),
        "producers": repeated("--producer", "producers", "Producer."),
        "classes": repeated(
            "--class",
            "classes",
            "Failure class.",
            type=click.Choice(FAILURE_CLASSES),
            metavar="CLASS",
        ),
    },
    example="--class",
    check_id=_check_id,
    done={"replay": "due again", "purge": "purged"},
)


@click.group("dead")
def command() -> None:
    """Show, export, replay or purge dead letters.

    Select them by filters or ids; - reads ids, or the output of ls --json, from standard input.
    """


@command.command("ls")
@selecting(_KIND)
@with_json
@listing
def ls(app: Application, selection: Selection, as_json: bool) -> int:
    """List dead letters, oldest first; at most 100 without --limit or --all."""
    listed = Listing(selection)
    with _opened(app) as letters:
        now_ms = letters.now_ms()
        for page in listed.pages(_chosen(letters, selection, MOST_LISTED)):
            show_table(page, now_ms, as_json=as_json)
    return listed.end(MOST_LISTED)


@command.command("show")
@click.argument("ids", nargs=-1, required=True, metavar="ID...|-")
@with_json
@listing
def show(app: Application, as_json: bool, ids: tuple[str, ...]) -> int:
    """Explain dead letters: their failure and history."""
    selection = Selection(_KIND, ids)
    listed = Listing(selection)
    with _opened(app) as letters:
        now_ms = letters.now_ms()
        for letter in listed.present(letters.find(selection.named())):
            if as_json:
                echo_json(letter.explained())
            else:
                explain(letter, now_ms)
    return listed.end()


@command.command("stats")
@selecting(_KIND)
@with_json
def stats(app: Application, selection: Selection, as_json: bool) -> int:
    """Count dead letters by class, channel, type and producer."""
    from galaxy_notify.operations.dead_letters import DeadStats

    counted, listed = DeadStats(), Listing(selection)
    with _opened(app) as letters:
        for letter in listed.present(_chosen(letters, selection)):
            counted.add(letter)
        now_ms = letters.now_ms()
    if as_json:
        echo_json(stats_as_json(counted))
    else:
        show_stats(counted, now_ms)
    return listed.end() if listed.missing else Exit.OK


@command.command("export")
@selecting(_KIND)
@only_json_option
@pass_application
@listing
def export(app: Application, selection: Selection) -> int:
    """Print complete dead letters with their payload, as JSON lines."""
    listed = Listing(selection)
    with _opened(app) as letters:
        for letter in listed.present(_chosen(letters, selection)):
            echo_json(letter.exported())
    return listed.end()


def _moving(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options of a command that moves dead letters."""
    for option in (
        json_option,
        yes_option,
        click.option(
            "--rate", type=click.IntRange(1, 1_000_000), help="Maximum number per second."
        ),
        click.option("--dry-run", is_flag=True, help="Show what would be moved; change nothing."),
        selecting(_KIND),
    ):
        command = option(command)
    return command


@command.command("replay")
@_moving
@click.option(
    "--may-repeat",
    is_flag=True,
    help="Also send again what may have been sent (class delivery_unknown).",
)
@pass_application
def replay(app: Application, /, **options: Any) -> int:
    """Schedule dead letters again: due now, attempts reset to 0, no expiry.

    Safe to stop at any point and to run again: each dead letter moves once.
    """
    return _move(app, "replay", **options)


@command.command("purge")
@_moving
@pass_application
def purge(app: Application, /, **options: Any) -> int:
    """Delete dead letters permanently; `dead export` saves a copy."""
    return _move(app, "purge", **options)


def _move(
    app: Application, verb: str, selection: Selection, *, yes: bool, as_json: bool, **pace: Any
) -> int:
    """Move what was selected, once a person agreed where one has to; return the exit code."""
    from galaxy_notify.operations.dead_moves import Run

    dry_run = pace["dry_run"]
    agreed = yes or dry_run
    check_bulk(verb, selection, asks=not agreed)
    with _opened(app) as letters:
        wanted = _agreed(verb, letters, selection, agreed=agreed)
        with stoppable() as pause, Progress("moved") as progress:
            run = Run(
                actor(), **pace, progress=lambda outcome: progress.reach(outcome.moved), pause=pause
            )
            action = letters.replay if verb == "replay" else letters.purge
            outcome = action(wanted, run)
    return report(verb, _KIND, outcome, as_json=as_json, dry_run=dry_run)


def _agreed(
    verb: str, letters: DeadLetterReader, selection: Selection, *, agreed: bool
) -> DeadFilter | Iterable[str]:
    """Return what to move; ends the command where the person who is asked says no."""
    if not selection.is_bulk:
        return selection.named()
    wanted = letters.as_of_now(_filter(letters, selection))
    if not agreed and (number := show_sample(letters.matching(wanted))):
        confirm(f"{verb} {plural(number, 'dead letter')}?", yes=False)
    return wanted


@contextmanager
def _opened(app: Application) -> Iterator[DeadLetterReader]:
    """Connect to the dead letters of the deployment."""
    from galaxy_notify.operations.dead_letters import DeadLetterReader

    with app.open() as deployment, refusing_unknown_values():
        yield DeadLetterReader(deployment)


def _filter(
    letters: DeadLetterReader, selection: Selection, limit: int | None = None
) -> DeadFilter:
    from galaxy_notify.operations.dead_letter import DeadFilter

    return selection.filter_of(DeadFilter, letters.now_ms, limit)


def _chosen(
    letters: DeadLetterReader, selection: Selection, limit: int | None = None
) -> Iterable[tuple[str, DeadLetterView | None]]:
    if selection.is_bulk:
        wanted = _filter(letters, selection, limit)
        return ((letter.id, letter) for letter in letters.matching(wanted))
    return letters.find(selection.named())
