"""``cancel`` and ``reschedule``: change what still waits, and say for how much it is too late."""

from __future__ import annotations

from typing import NamedTuple

import click

from galaxy_notify.cli.context import Application, actor, with_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import echo, echo_json, note, plural
from galaxy_notify.cli.screen import printable

_route_option = click.option("--route", metavar="R", help="Only this route, such as push:user-7.")


def _moment(_: click.Context, __: click.Parameter, value: str) -> int:
    from galaxy_notify.errors import InvalidIntent
    from galaxy_notify.model.intent import due_moment

    try:
        return due_moment(int(value) if value.isascii() and value.isdigit() else value)
    except InvalidIntent as error:
        raise click.BadParameter(error.message) from None


@click.command("cancel")
@click.argument("notification_id", metavar="ID")
@_route_option
@with_json
def cancel(app: Application, notification_id: str, route: str | None, as_json: bool) -> int:
    """Cancel a notification or one of its routes.

    ID is the id of a notification, a route or an event. Routes already published to the gateway
    stream cannot be cancelled. Exit codes: 0 cancelled (now or before), 3 unknown, 4 some too late,
    1 all too late.
    """
    from galaxy_notify.intake.notifier import Notifier

    with Notifier(app.settings) as notifier:
        done = notifier.cancel(notification_id, route=route, actor=actor())
    changed = _Changed("cancelled", done.cancelled, done.too_late, done.unknown)
    return changed.show(notification_id, route, as_json=as_json)


@click.command("reschedule")
@click.argument("notification_id", metavar="ID")
@click.argument("due_ms", metavar="DUE", callback=_moment)
@_route_option
@with_json
def reschedule(
    app: Application, notification_id: str, due_ms: int, route: str | None, as_json: bool
) -> int:
    """Change the due time of a notification or of one of its routes.

    ID is the id of a notification, a route or an event. DUE is RFC 3339 with an offset, or epoch
    ms; a time in the past means now. Routes claimed by a worker are taken from it; routes already
    published are not changed. Exit codes: 0 moved, 3 unknown, 4 some too late, 1 all too late or
    DUE invalid.
    """
    from galaxy_notify.intake.notifier import Notifier

    with Notifier(app.settings) as notifier:
        done = notifier.reschedule(notification_id, due_ms, route=route, actor=actor())
    changed = _Changed("moved", done.moved, done.too_late, done.unknown)
    return changed.show(notification_id, route, as_json=as_json)


class _Changed(NamedTuple):
    """What became of the routes: *word* says what was done, and to how many."""

    word: str
    routes: int
    too_late: int
    unknown: bool

    def show(self, notification_id: str, route: str | None, *, as_json: bool) -> int:
        """Print it and return the exit code it means."""
        if as_json:
            rest = {"too_late": self.too_late, "unknown": self.unknown}
            echo_json({"id": notification_id, "route": route, self.word: self.routes, **rest})
        elif self.unknown:
            note(f"unknown: {printable(notification_id)}{f' {printable(route)}' if route else ''}")
        else:
            total = plural(self.routes + self.too_late, "route")
            late = f"; too late for {self.too_late:,}" if self.too_late else ""
            echo(f"{self.word} {self.routes:,} of {total}{late}")
        if self.unknown:
            return Exit.NOTHING
        if not self.too_late:
            return Exit.OK
        return Exit.PARTLY if self.routes else Exit.FAILED
