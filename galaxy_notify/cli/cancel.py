"""``cancel``: take a notification, or one of its routes, back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from galaxy_notify.cli.actor import actor
from galaxy_notify.cli.context import Application, json_option, pass_application
from galaxy_notify.cli.ending import Exit, printable
from galaxy_notify.cli.output import echo, echo_json, note, plural

if TYPE_CHECKING:
    from galaxy_notify.intake.receipts import Cancelled


@click.command("cancel")
@click.argument("notification_id", metavar="ID")
@click.option("--route", metavar="R", help="Only this route, such as push:user-7.")
@json_option
@pass_application
def command(app: Application, notification_id: str, route: str | None, as_json: bool) -> int:
    """Take a notification, or one of its routes, back.

    ID names a notification, a route or an event. What is in the gateway stream already cannot be
    taken back. Exit codes: 0 cancelled, also when it already was, 3 unknown, 4 some too late,
    1 all too late.
    """
    from galaxy_notify.intake.notifier import Notifier

    with Notifier(app.settings) as notifier:
        done = notifier.cancel(notification_id, route=route, actor=actor())
    if as_json:
        told = {"cancelled": done.cancelled, "too_late": done.too_late, "unknown": done.unknown}
        echo_json({"id": notification_id, "route": route, **told})
    elif done.unknown:
        note(f"unknown: {printable(notification_id)}{f' {printable(route)}' if route else ''}")
    else:
        echo(f"cancelled {done.cancelled:,}{_late(done)}")
    return _exit_code(done)


def _late(done: Cancelled) -> str:
    total = done.cancelled + done.too_late
    late = f"; too late for {done.too_late:,}" if done.too_late else ""
    return f" of {plural(total, 'route')}{late}"


def _exit_code(done: Cancelled) -> int:
    if done.unknown:
        return Exit.NOTHING
    if not done.too_late:
        return Exit.OK
    return Exit.PARTLY if done.cancelled else Exit.FAILED
