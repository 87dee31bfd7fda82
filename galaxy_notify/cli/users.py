"""``users``: what is kept of one user."""

from __future__ import annotations

from typing import Any, Final

import click

from galaxy_notify.cli.context import Application, with_json
from galaxy_notify.cli.output import count, echo, echo_json, plural
from galaxy_notify.cli.stream_view import recent_line
from galaxy_notify.errors import InvalidPreference

_EVENTS: Final = 5


def _checked(_: click.Context, __: click.Parameter, user: Any) -> str:
    from galaxy_notify.model.preference_input import check_user

    try:
        return check_user(user)
    except InvalidPreference as error:
        raise click.UsageError(str(error)) from None


#: The argument USER, the same on every command; a name that no recipient can have is refused.
user_argument = click.argument("user", callback=_checked)


@click.group("users")
def command() -> None:
    """Show what is kept of a user."""


@command.command("show")
@user_argument
@with_json
def show(app: Application, user: str, as_json: bool) -> None:
    """Show a user's preferences, presence, unread counts and newest events.

    A user without any data has the default preferences, is offline and has no events. The counts
    are those that Redis remembers of the user's feed, if it does.
    """
    from galaxy_notify.cli.prefs import echo_preferences
    from galaxy_notify.cli.presence import instances
    from galaxy_notify.redis_client.flows import run_flow_sync
    from galaxy_notify.redis_inspect.feed import read_mark_of
    from galaxy_notify.redis_inspect.presence import read_presence
    from galaxy_notify.redis_inspect.recent import read_recent
    from galaxy_notify.redis_state.deployment import server_now
    from galaxy_notify.redis_state.preferences import get_flow

    with app.open() as deployment:
        now_ms = server_now(deployment)
        preferences = run_flow_sync(deployment.client, get_flow(deployment.key_space, user))
        presence = read_presence(deployment, user)
        counts = read_mark_of(deployment, user)
        recent = read_recent(deployment, user, _EVENTS)
    if as_json:
        document: dict[str, object] = {"user": user, "preferences": preferences.as_json()}
        online = {name: presence.as_json()[name] for name in ("online", "instances")}
        document |= {"unreadable": [*preferences.unreadable], "presence": online}
        document["counts"] = counts and counts.document()
        echo_json(document | {"recent": recent.as_json()})
        return
    echo_preferences(user, preferences)
    echo(f"  {instances(presence, now_ms)}")
    if counts is not None:
        echo(f"  feed: {count(counts.unread)} unread, {count(counts.unseen)} unseen")
    echo(f"  recent list: {recent.error or plural(recent.length, 'event')}")
    for entry in recent.entries:
        for line in recent_line(entry).splitlines():
            echo(f"    {line}")


@command.command("logout")
@user_argument
@with_json
def logout(app: Application, user: str, as_json: bool) -> None:
    """End a user's streams and refuse the tokens issued until now.

    Valid for an hour, which is as long as any token is valid: have your application issue no new
    ones to who must stay out. Safe to repeat.
    """
    from galaxy_notify.operations.logging_out import log_out

    with app.open() as deployment:
        done = log_out(deployment, user)
    if as_json:
        echo_json({"user": user, "instances": done.instances, "informed": done.told})
        return
    where = plural(done.instances, "gateway") if done.instances else "no gateway"
    echo(f"{user} logged out; connected to {where}")
    if done.told < done.instances:
        echo("  some gateways were not reached: they end the streams within ten seconds")
