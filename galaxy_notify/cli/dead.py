"""``dead``: look at, export, replay and purge dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify.cli.context import Application, json_option, listing, pass_application
from galaxy_notify.cli.dead_moves import move, moving, to_move
from galaxy_notify.cli.dead_options import Chosen, choosing, chosen
from galaxy_notify.cli.dead_view import explain, show_stats, show_table, stats_as_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import count, echo_json, note
from galaxy_notify.cli.screen import printable
from galaxy_notify.errors import InvalidQuery

if TYPE_CHECKING:
    from galaxy_notify.operations.dead_letters import DeadLetters

_SHOWN: Final = 100
_CHUNK: Final = 500
_TOP: Final = 20


@click.group("dead")
def command() -> None:
    """Look at, export, replay or purge dead letters.

    Name them by filters or by ids; - reads ids, or the output of ls --json, from standard input.
    """


@command.command("ls")
@choosing
@json_option
@pass_application
@listing
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
            show_table(chunk, now_ms, as_json=as_json)
    if choice.is_bulk and shown == wanted.limit:
        note(f"{count(shown)} shown, there may be more: --limit N, --all")
    return _ended(shown, missing)


@command.command("show")
@click.argument("ids", nargs=-1, required=True, metavar="ID...|-")
@json_option
@pass_application
@listing
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
                explain(letter, now_ms)
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
        echo_json(stats_as_json(counted))
    else:
        show_stats(counted, now_ms)
    return _ended(counted.total, missing) if missing else Exit.OK


@command.command("export")
@choosing
@json_option
@pass_application
@listing
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
    choice = to_move("replay", ids, given)
    with opened(app) as letters:
        return move("replay", letters, choice)


@command.command("purge")
@choosing
@moving
@json_option
@pass_application
def purge(app: Application, /, ids: tuple[str, ...], **given: Any) -> int:
    """Give dead letters up for good; `dead export` keeps a copy."""
    choice = to_move("purge", ids, given)
    with opened(app) as letters:
        return move("purge", letters, choice)


@contextmanager
def opened(app: Application) -> Iterator[DeadLetters]:
    """Connect to the dead letters of the deployment."""
    from galaxy_notify.operations.dead_letters import DeadLetters

    with app.open() as place:
        try:
            yield DeadLetters(place)
        except InvalidQuery as error:
            raise click.BadParameter(error.message, param_hint=f"--{error.field}") from None


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
