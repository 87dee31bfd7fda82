"""The part of ``dead replay`` and ``dead purge`` that asks, moves at a pace, and tells."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from galaxy_notify.cli.context import actor
from galaxy_notify.cli.dead_options import Chosen, chosen
from galaxy_notify.cli.exits import Exit, print_error
from galaxy_notify.cli.output import count, echo, echo_json, note, plural, shortened
from galaxy_notify.cli.prompts import Progress, confirm, is_interactive, yes_option
from galaxy_notify.cli.screen import printable
from galaxy_notify.cli.standard_streams import is_terminal
from galaxy_notify.signals import SIGNALS, Interrupted

if TYPE_CHECKING:
    from galaxy_notify.operations.dead_filter import DeadFilter
    from galaxy_notify.operations.dead_letters import DeadLetters
    from galaxy_notify.operations.dead_moves import Outcome

Command = TypeVar("Command", bound=Callable[..., Any])

_SAMPLE: Final = 3
_LOOK_EVERY_S: Final = 0.05
_DONE: Final = {"replay": "due again", "purge": "purged"}
_STOPPING: Final = b"\nstopping after this batch; again to stop at once\n"


def moving(command: Command) -> Command:
    """Add the options of a command that moves dead letters."""
    for option in (
        yes_option,
        click.option("--rate", type=click.IntRange(1, 1_000_000), help="At most so many a second."),
        click.option("--dry-run", is_flag=True, help="Only say what would be moved."),
    ):
        command = option(command)
    return command


def to_move(verb: str, ids: tuple[str, ...], given: dict[str, Any]) -> Chosen:
    """Return what to move; refuse what nobody could mean, before anything is asked of Redis."""
    choice = chosen(ids, given)
    if choice.is_bulk and not (choice.narrows or choice.everything):
        raise click.UsageError(f"say which to {verb}: ids, a filter such as --class, or --all")
    if choice.is_bulk and not (given["yes"] or given["dry_run"] or is_interactive()):
        confirm(f"{verb} of many dead letters", yes=False)
    return choice


def move(verb: str, letters: DeadLetters, choice: Chosen) -> int:
    """Move what was chosen, tell what became of it, and return the exit code."""
    from galaxy_notify.operations.dead_moves import Run

    given = choice.given
    target = _agreed(verb, letters, choice)
    action = letters.replay if verb == "replay" else letters.purge
    with _stoppable() as pause, Progress("moved") as progress:
        run = Run(
            actor=actor(),
            rate=given["rate"],
            dry_run=given["dry_run"],
            progress=_Advance(progress),
            pause=pause,
        )
        outcome = action(target, run)
    if given["as_json"]:
        echo_json(_as_json(verb, outcome, dry_run=run.dry_run))
    else:
        _print(verb, outcome, dry_run=run.dry_run)
    return _exit_code(outcome)


class _Advance:
    """Passes on how far it came since the last time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._seen = 0

    def __call__(self, outcome: Outcome) -> None:
        self._progress.advance(outcome.moved - self._seen)
        self._seen = outcome.moved


def _agreed(verb: str, letters: DeadLetters, choice: Chosen) -> DeadFilter | Iterable[str]:
    """Return what to move, once a person agreed where one has to."""
    if not choice.is_bulk:
        return choice.named()
    given = choice.given
    wanted = letters.as_of_now(choice.filter(letters))
    if given["yes"] or given["dry_run"]:
        return wanted
    found = letters.matching(wanted)
    sample = list(islice(found, _SAMPLE))
    number = len(sample) + sum(1 for _ in found)
    if number:
        for letter in sample:
            why = f"{letter.failure_class}: {letter.failure.message}"
            note(f"  {printable(letter.id)}  {shortened(why, 60)}")
        if number > len(sample):
            note(f"  and {count(number - len(sample))} more")
        confirm(f"{verb} {plural(number, 'dead letter')}?", yes=False)
    return wanted


@contextmanager
def _stoppable() -> Iterator[Callable[[float], bool]]:
    """Give a pause that ends early, and says so, at the first Ctrl-C; the second ends all."""
    asked: list[int] = []

    def ask(number: int) -> None:
        if asked:
            raise Interrupted
        asked.append(number)
        if is_terminal(sys.stderr):
            with suppress(OSError):
                os.write(sys.stderr.fileno(), _STOPPING)

    def pause(seconds: float) -> bool:
        end = monotonic() + seconds
        while not asked and (left := end - monotonic()) > 0:
            sleep(min(left, _LOOK_EVERY_S))
        return bool(asked)

    with SIGNALS.handed_to(ask):
        yield pause


def _as_json(verb: str, outcome: Outcome, *, dry_run: bool) -> dict[str, object]:
    return {
        "action": verb,
        "dry_run": dry_run,
        **outcome.as_json(),
        "error": outcome.fault or None,
    }


def _print(verb: str, outcome: Outcome, *, dry_run: bool) -> None:
    if not outcome.matched:
        note("nothing matched")
        return
    moved = "would move" if dry_run else "moved"
    echo(f"{moved} {outcome.moved} of {outcome.matched}: {_DONE[verb]}")
    reasons = {"no dead letter (any more)": outcome.gone, **outcome.failed}
    for reason, number in reasons.items():
        if number:
            echo(f"  {number} not: {reason}")
    if outcome.stopped:
        note("stopped before the end; run it again for the rest")
    if outcome.fault:
        print_error(
            f"redis went away: {outcome.fault}; of {outcome.unknown} it is not known;"
            " run it again, each moves once"
        )


def _exit_code(outcome: Outcome) -> int:
    if outcome.fault or outcome.stopped:
        stopped = Exit.FAILED if outcome.fault else Exit.INTERRUPTED
        return Exit.PARTLY if outcome.moved else stopped
    if outcome.gone == outcome.matched:
        return Exit.NOTHING
    if outcome.moved == outcome.matched:
        return Exit.OK
    return Exit.PARTLY if outcome.moved else Exit.FAILED
