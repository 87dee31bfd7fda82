"""``cancel``: take a notification, or one of its routes, back."""

from __future__ import annotations

import click

from galaxy_notify.cli.actor import actor
from galaxy_notify.cli.changed import Changed, id_argument, naming_a_route
from galaxy_notify.cli.context import Application, pass_application


@click.command("cancel")
@id_argument
@naming_a_route
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
    changed = Changed("cancelled", done.cancelled, done.too_late, done.unknown)
    return changed.tell(notification_id, route, as_json=as_json)
