"""``retract``: take back what was delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from galaxy_notify.cli.context import Application, actor, with_json
from galaxy_notify.cli.exits import Exit, is_misconfigured, print_error
from galaxy_notify.cli.feed_access import run
from galaxy_notify.cli.output import count, echo, echo_json, note, plural
from galaxy_notify.cli.screen import printable
from galaxy_notify.errors import Unavailable

if TYPE_CHECKING:
    from galaxy_notify.feed.retractor import Retracted
    from galaxy_notify.model.ids import Target
    from galaxy_notify.settings import Settings


@click.command("retract")
@click.argument("notification_id", metavar="ID")
@with_json
def command(app: Application, notification_id: str, as_json: bool) -> int:
    """Take a notification back, also where it was delivered.

    ID is the id of a notification; that of a route or an event stands for the whole notification.
    It disappears from feeds, counts and open pages; a page that is offline learns of it when it
    connects. Waiting routes are cancelled. What third-party gateways have read is not called back.
    Safe to repeat. Exit codes: 0 retracted, 3 unknown, 1 Redis or Postgres away: the message says
    which half is done, run it again.
    """
    from galaxy_notify.model.ids import Target, first_part, parse_target
    from galaxy_notify.telemetry.logs import configure_logs

    # Where Redis or Postgres is away, the message says so.
    configure_logs("error", app.settings.log.format)
    target = parse_target(notification_id)
    try:
        done = None
        if target is not None:
            whole = Target(first_part(target.notification_id), None)
            done = run(_retracted(app.settings, whole))
    except Unavailable as error:
        if is_misconfigured(error):
            raise
        print_error(str(error))
        return Exit.FAILED
    is_known = done is not None and done.found
    users, cancelled = (len(done.users), done.cancelled) if done else (0, 0)
    if as_json:
        numbers = {"users": users, "cancelled": cancelled, "unknown": not is_known}
        echo_json({"id": notification_id, **numbers})
    elif is_known:
        echo(f"retracted from {plural(users, 'user')}; cancelled {count(cancelled)} waiting")
    else:
        note(f"unknown: {printable(notification_id)}")
    return Exit.OK if is_known else Exit.NOTHING


async def _retracted(settings: Settings, target: Target) -> Retracted:
    from galaxy_notify.feed.retractor import Retractor

    retractor = Retractor.open(settings)
    try:
        return await retractor.retract(target, actor())
    finally:
        await retractor.close()
