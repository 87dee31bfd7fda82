"""``reschedule``: give a notification, or one of its routes, another due time."""

from __future__ import annotations

import click

from galaxy_notify.cli.actor import actor
from galaxy_notify.cli.changed import Changed, id_argument, naming_a_route
from galaxy_notify.cli.context import Application, pass_application


def _moment(_: click.Context, __: click.Parameter, value: str) -> int:
    from galaxy_notify.errors import InvalidIntent
    from galaxy_notify.model.intent import due_moment

    try:
        return due_moment(int(value) if value.isascii() and value.isdigit() else value)
    except InvalidIntent as error:
        raise click.BadParameter(error.message) from None


@click.command("reschedule")
@id_argument
@click.argument("due_ms", metavar="DUE", callback=_moment)
@naming_a_route
@pass_application
def command(
    app: Application, notification_id: str, due_ms: int, route: str | None, as_json: bool
) -> int:
    """Give a notification, or one of its routes, another due time.

    ID names a notification, a route or an event; DUE is RFC 3339 with an offset, or epoch ms, and
    in the past means now. What a worker holds is taken from it; what is in the gateway stream
    already stays. Exit codes: 0 moved, 3 unknown, 4 some too late, 1 all too late or DUE refused.
    """
    from galaxy_notify.intake.notifier import Notifier

    with Notifier(app.settings) as notifier:
        done = notifier.reschedule(notification_id, due_ms, route=route, actor=actor())
    changed = Changed("moved", done.moved, done.too_late, done.unknown)
    return changed.tell(notification_id, route, as_json=as_json)
