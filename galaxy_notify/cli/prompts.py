"""Ask before what cannot be undone, and show the progress of a long job."""

from __future__ import annotations

import shlex
import sys
from time import monotonic
from typing import Final

import click

from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import count, note
from galaxy_notify.cli.standard_streams import is_terminal, say

_REDRAW_S: Final = 0.2

#: ``--yes``, the same on every command that asks.
yes_option = click.option(
    "--yes", is_flag=True, help="Skip the confirmation; required without a terminal."
)


def confirm(question: str, *, yes: bool) -> None:
    """Go on only where ``--yes`` was given or a person at the terminal agrees.

    Without a terminal it is a usage error that shows the exact command to run; a no ends the
    command with exit code 1.
    """
    if yes:
        return
    if not is_interactive():
        raise click.UsageError(
            f"{question}\nConfirmation needs a terminal. To proceed: {_forced()}"
        )
    if not click.confirm(question, err=True):
        note("nothing was changed")
        click.get_current_context().exit(Exit.FAILED)


def is_interactive() -> bool:
    """Return whether a person can be asked: at the keyboard, and in front of standard error."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def _forced() -> str:
    arguments = sys.argv[1:]
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return shlex.join(["galaxy-notify", *arguments[:at], "--yes", *arguments[at:]])


class Progress:
    """A line on standard error that counts, shown on a terminal only; use it in ``with``.

    *beside* leaves it out where the results go to a terminal too, and would tear it apart.
    """

    def __init__(self, verb: str, *, beside: bool = True) -> None:
        self._verb = verb
        self._done = 0
        self._shown = is_terminal(sys.stderr) and (beside or not is_terminal(sys.stdout))
        self._drawn_at = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn_at:
            say("\r\033[K", newline=False)

    def advance(self, by: int = 1) -> None:
        """Count on, and show it a few times a second."""
        self.reach(self._done + by)

    def reach(self, done: int) -> None:
        """Have counted so far, and show it a few times a second."""
        self._done = done
        if self._shown and monotonic() - self._drawn_at > _REDRAW_S:
            self._drawn_at = monotonic()
            say(f"\r\033[K{self._verb} {count(done)}", newline=False)
