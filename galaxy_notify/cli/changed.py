"""What the commands tell that change what still waits: how many routes, and for how many too late.

They take the same arguments and end with the same exit codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from galaxy_notify.cli.context import json_option
from galaxy_notify.cli.ending import Exit, printable
from galaxy_notify.cli.output import echo, echo_json, note, plural

Command = TypeVar("Command", bound=Callable[..., Any])

#: What was named: the notification, and one of its routes perhaps.
id_argument = click.argument("notification_id", metavar="ID")


def naming_a_route(command: Command) -> Command:
    """Add ``--route`` and ``--json`` to a command."""
    route = click.option("--route", metavar="R", help="Only this route, such as push:user-7.")
    return route(json_option(command))


class Changed(NamedTuple):
    """What became of the routes: *word* says what was done to so many."""

    word: str
    routes: int
    too_late: int
    unknown: bool

    def tell(self, notification_id: str, route: str | None, *, as_json: bool) -> int:
        """Print it and return the exit code it means."""
        if as_json:
            late = {"too_late": self.too_late, "unknown": self.unknown}
            echo_json({"id": notification_id, "route": route, self.word: self.routes, **late})
        elif self.unknown:
            note(f"unknown: {printable(notification_id)}{f' {printable(route)}' if route else ''}")
        else:
            echo(f"{self.word} {self.routes:,}{self._late}")
        return self._exit_code

    @property
    def _late(self) -> str:
        total = self.routes + self.too_late
        late = f"; too late for {self.too_late:,}" if self.too_late else ""
        return f" of {plural(total, 'route')}{late}"

    @property
    def _exit_code(self) -> int:
        if self.unknown:
            return Exit.NOTHING
        if not self.too_late:
            return Exit.OK
        return Exit.PARTLY if self.routes else Exit.FAILED
