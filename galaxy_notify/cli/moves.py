"""Replay and purge: agreed on before, stopped by Ctrl-C between batches, and reported after."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

import click

from galaxy_notify.cli.exits import Exit, print_error
from galaxy_notify.cli.output import echo, echo_json, note
from galaxy_notify.cli.prompts import confirm, is_interactive
from galaxy_notify.cli.selection import SelectableKind, Selection
from galaxy_notify.cli.standard_streams import is_terminal
from galaxy_notify.signals import SIGNALS, Interrupted

if TYPE_CHECKING:
    from galaxy_notify.operations.outcome import MoveOutcome

_LOOK_EVERY_S: Final = 0.05
_STOPPING: Final = b"\nstopping after this batch; press Ctrl-C again to stop immediately\n"


def check_bulk(verb: str, selection: Selection, *, asks: bool) -> None:
    """Refuse to move many by mistake, before Redis is asked; *asks* needs a terminal later."""
    if not selection.is_bulk:
        return
    kind = selection.kind
    if not (selection.narrows or selection.everything):
        raise click.UsageError(
            f"select which to {verb}: ids, a filter such as {kind.example}, or --all"
        )
    if asks and not is_interactive():
        confirm(f"{verb} of many {kind.name}s", yes=False)


@contextmanager
def stoppable() -> Iterator[Callable[[float], bool]]:
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

    with SIGNALS.delivering_to(ask):
        yield pause


def report(
    verb: str, kind: SelectableKind, outcome: MoveOutcome, *, as_json: bool, dry_run: bool = False
) -> int:
    """Print what became of those that were to be moved; return the exit code it means."""
    if as_json:
        error = outcome.fault or None
        echo_json({"action": verb, "dry_run": dry_run, **outcome.as_json(), "error": error})
    elif outcome.matched:
        _print(kind, outcome, "would move" if dry_run else "moved", kind.done[verb])
    else:
        note("nothing matched")
    if outcome.fault:
        print_error(
            f"redis failed: {outcome.fault}; outcome unknown for {outcome.unknown}; run it again, "
            f"each moves once"
        )
    return _exit_code(outcome)


def _print(kind: SelectableKind, outcome: MoveOutcome, moved: str, done: str) -> None:
    echo(f"{moved} {outcome.moved} of {outcome.matched}: {done}")
    reasons = {f"no longer a {kind.name}": outcome.gone, **outcome.failed}
    for reason, number in reasons.items():
        if number:
            echo(f"  {number} not moved: {reason}")
    if outcome.stopped:
        note("stopped before the end; run it again to move the rest")


def _exit_code(outcome: MoveOutcome) -> int:
    if outcome.fault or outcome.stopped:
        stopped = Exit.FAILED if outcome.fault else Exit.INTERRUPTED
        return Exit.PARTLY if outcome.moved else stopped
    if outcome.gone == outcome.matched:
        return Exit.NOTHING
    if outcome.moved == outcome.matched:
        return Exit.OK
    return Exit.PARTLY if outcome.moved else Exit.FAILED
