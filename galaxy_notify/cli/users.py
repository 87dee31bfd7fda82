"""``users``: what is kept of one user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from galaxy_notify.cli.context import Application, actor, with_json
from galaxy_notify.cli.exits import Exit, is_misconfigured, print_error, unavailable_message
from galaxy_notify.cli.output import count, echo, echo_json, note, plural
from galaxy_notify.cli.prompts import confirm, yes_option
from galaxy_notify.cli.stream_view import recent_line
from galaxy_notify.errors import FeedUnavailable, InvalidPreference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from galaxy_notify.operations.forgetting import EndedRoutes, Forgotten, Remaining
    from galaxy_notify.redis_inspect.recent import RecentList
    from galaxy_notify.redis_state.deployment import Deployment

T = TypeVar("T")

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
    """Show or delete what is kept of a user."""


@command.command("show")
@user_argument
@with_json
def show(app: Application, user: str, as_json: bool) -> None:
    """Show a user's preferences, contacts, presence, unread counts and newest events.

    Addresses are masked; `contacts ls` shows them.
    A user without any data has the default preferences, is offline and has no events. The counts
    are those that Redis remembers of the user's feed, if it does.
    """
    from galaxy_notify.cli.contacts_view import echo_contacts
    from galaxy_notify.cli.prefs import echo_preferences
    from galaxy_notify.cli.presence import instances
    from galaxy_notify.contacts.opening import shown_contacts
    from galaxy_notify.redis_client.flows import run_flow_sync
    from galaxy_notify.redis_inspect.feed import read_mark_of
    from galaxy_notify.redis_inspect.presence import read_presence
    from galaxy_notify.redis_inspect.recent import read_recent
    from galaxy_notify.redis_state.deployment import server_now
    from galaxy_notify.redis_state.preferences import get_flow

    with app.open() as deployment:
        now_ms = server_now(deployment)
        preferences = run_flow_sync(deployment.client, get_flow(deployment.key_space, user))
        contacts = shown_contacts(app.settings, deployment, user)
        presence = read_presence(deployment, user)
        counts = read_mark_of(deployment, user)
        recent = read_recent(deployment, user, _EVENTS)
    if as_json:
        document: dict[str, object] = {"user": user, "preferences": preferences.as_json()}
        online = {name: presence.as_json()[name] for name in ("online", "instances")}
        document |= {"unreadable": [*preferences.unreadable], "contacts": contacts}
        document |= {"presence": online, "counts": counts and counts.document()}
        echo_json(document | {"recent": recent.as_json()})
        return
    echo_preferences(user, preferences)
    echo_contacts(contacts)
    echo(f"  {instances(presence, now_ms)}")
    if counts is not None:
        echo(f"  feed: {count(counts.unread)} unread, {count(counts.unseen)} unseen")
    _echo_recent(recent)


def _echo_recent(recent: RecentList) -> None:
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


@command.command("forget")
@user_argument
@yes_option
@with_json
def forget(app: Application, user: str, yes: bool, as_json: bool) -> int:
    """Delete what is kept of a user, and list what ends by itself.

    Cancels the user's waiting routes, purges the dead letters, and deletes recent list, presence,
    unread mark, preferences, contacts, tickets and feed. Before it, let your application send the
    user nothing more, and end open streams with `users logout`. Safe to repeat. Exit codes: 0 done,
    1 Redis or Postgres away: the message says which half is done, run it again; 4 the list of
    notifications is too long to have found everything.
    """
    import asyncio

    from galaxy_notify.feed.forgotten_rows import forget_rows_of
    from galaxy_notify.operations import forgetting

    def end(deployment: Deployment) -> EndedRoutes:
        return forgetting.end_routes(deployment, user, actor())

    def delete(deployment: Deployment) -> tuple[Mapping[str, bool], Sequence[Remaining]]:
        shared = deployment.shared
        return forgetting.delete_keys(deployment, user), forgetting.remaining(shared, settings)

    settings = app.settings
    confirm(f"delete everything that is kept of {user}?", yes=yes)
    routes, redis = _in_redis(app, end)
    rows, postgres = None, ""
    try:
        rows = asyncio.run(forget_rows_of(settings, user))
    except FeedUnavailable as error:
        postgres = str(error)
    deleted = None
    if routes is not None:
        deleted, redis = _in_redis(app, delete)
    if routes is None or deleted is None or postgres:
        print_error(forgetting.half_done(redis, postgres))
        return Exit.FAILED
    keys, rest = deleted
    done = forgetting.Forgotten(routes, rows, keys)
    if as_json:
        echo_json({"user": user, **done.as_json(), "remaining": [one._asdict() for one in rest]})
    else:
        _show_forgotten(user, done, rest)
    return Exit.OK if routes.complete else Exit.PARTLY


def _in_redis(app: Application, work: Callable[[Deployment], T]) -> tuple[T | None, str]:
    """Return what work on the deployment returns, or why a repeat may help."""
    from galaxy_notify.errors import Unavailable
    from galaxy_notify.redis_client.faults import RedisFault

    try:
        with app.open() as deployment:
            return work(deployment), ""
    except (RedisFault, Unavailable) as error:
        if is_misconfigured(error):
            raise
        return None, unavailable_message(error)


def _show_forgotten(user: str, done: Forgotten, rest: Sequence[Remaining]) -> None:
    routes = done.routes
    kept = ", ".join(name.replace("_", " ") for name in done.deleted) or "nothing"
    echo(f"{user} forgotten")
    echo(f"  deleted: {kept}" + ("" if done.rows is None else f"; {plural(done.rows, 'feed row')}"))
    dead = plural(routes.purged, "dead letter")
    echo(f"  cancelled {count(routes.cancelled)} waiting, purged {dead}")
    echo("  what may still name the user ends by itself:")
    for what, until in rest:
        echo(f"    {what}: {until}")
    if not routes.complete:
        note("the list of notifications is longer than what was looked at: run it again later")
