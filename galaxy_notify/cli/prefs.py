"""``prefs``: the preferences of users."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from galaxy_notify.cli.context import (
    Application,
    listing,
    only_json_option,
    pass_application,
    with_json,
)
from galaxy_notify.cli.jsonl import opened
from galaxy_notify.cli.output import echo, echo_json, echo_table, note
from galaxy_notify.cli.prefs_lines import export_all, import_all
from galaxy_notify.cli.screen import strong
from galaxy_notify.errors import InvalidPreference
from galaxy_notify.model.preference import SEVERITIES

if TYPE_CHECKING:
    from galaxy_notify.intake.rules.preferences import Preferences
    from galaxy_notify.model.preference import Preference
    from galaxy_notify.model.user_preferences import UserPreferences
    from galaxy_notify.redis_state.preferences import UserChange

_type_option = click.option(
    "--type", "type_name", metavar="T", help="Notification type; default: every type."
)


@click.group("prefs")
def command() -> None:
    """Show and change users' preferences.

    A preference for a type overrides the preference for every type. See docs/rules.md.
    """


@command.command("get")
@click.argument("user")
@with_json
def get(app: Application, user: str, as_json: bool) -> None:
    """Show a user's preferences; a user without any has the defaults."""
    from galaxy_notify.model.preference_input import check_user
    from galaxy_notify.redis_client.flows import run_flow_sync
    from galaxy_notify.redis_state.preferences import get_flow

    with _refusing():
        check_user(user)
    with app.open() as deployment:
        found = run_flow_sync(deployment.client, get_flow(deployment.key_space, user))
    _show(user, found, as_json=as_json)


@command.command("set")
@click.argument("user")
@_type_option
@click.option("--channels", metavar="A,B", help="Deliver only by these channels; '' for none.")
@click.option("--min-severity", type=click.Choice(SEVERITIES), help="Minimum severity to deliver.")
@click.option("--in-app/--no-in-app", default=None, help="Whether the feed keeps the type.")
@click.option(
    "--quiet", "hours", metavar="22:00-07:00", help="Quiet hours during which push is deferred."
)
@click.option("--zone", metavar="Z", help="Time zone of --quiet, such as Europe/Berlin.")
@click.option("--no-quiet", is_flag=True, help="Remove the quiet hours.")
@with_json
def set_(app: Application, /, user: str, as_json: bool, **given: Any) -> None:
    """Set a user's preferences for one type or for every type, and quiet hours.

    --channels, --min-severity and --in-app replace the earlier preference for the same type; what
    you omit is cleared.
    """
    from galaxy_notify.intake.rules.preferences import is_changed

    def change(preferences: Preferences) -> bool:
        return is_changed(preferences.change([_wanted(preferences, user, given)]))

    _change(app, user, change, as_json)


@command.command("unset")
@click.argument("user")
@_type_option
@with_json
def unset(app: Application, user: str, type_name: str | None, as_json: bool) -> None:
    """Remove the preference for a type, or for every type."""
    _change(app, user, lambda preferences: preferences.remove(user, type_name), as_json)


@command.command("silence")
@click.argument("user")
@with_json
def silence(app: Application, user: str, as_json: bool) -> None:
    """Deliver only mandatory types to a user, until resume."""
    _change(app, user, lambda preferences: preferences.silence(user), as_json)


@command.command("resume")
@click.argument("user")
@with_json
def resume(app: Application, user: str, as_json: bool) -> None:
    """End silence; the user's other preferences apply again."""
    _change(app, user, lambda preferences: preferences.resume(user), as_json)


@command.command("delete")
@click.argument("user")
@with_json
def delete(app: Application, user: str, as_json: bool) -> None:
    """Delete all preferences of a user."""
    _change(app, user, lambda preferences: preferences.delete(user), as_json)


@command.command("import")
@click.argument("file", default="-", metavar="[FILE|-]")
@only_json_option
@pass_application
def import_(app: Application, file: str) -> int:
    """Store the preferences of many users, one JSON object per line.

    Each line replaces all preferences of its user and produces one line of output. Running it again
    is safe. Exit codes: 0 all stored, 4 some refused, 1 all refused or Redis away, 2 file
    unreadable.
    """
    with opened(file, "preferences") as stream, _opened(app) as preferences:
        return import_all(stream, file, preferences)


@command.command("export")
@only_json_option
@pass_application
@listing
def export(app: Application) -> int:
    """Print the preferences of every user, as JSON lines for import.

    A user changed during the export may be printed twice or not at all. Unreadable preferences are
    left out and reported on standard error, with exit code 4.
    """
    with app.open() as deployment:
        return export_all(deployment)


def _wanted(preferences: Preferences, user: str, given: dict[str, Any]) -> UserChange:
    """Return what the options ask for; raise ``UsageError`` where they ask for nothing."""
    from galaxy_notify.intake.rules.preferences import wish
    from galaxy_notify.model.preference_input import check_wish
    from galaxy_notify.redis_state.preferences import UserChange

    fields = _quiet_fields(user, given["hours"], given["zone"], given["no_quiet"])
    of_type, channels = given["type_name"], given["channels"]
    least, in_app = given["min_severity"], given["in_app"]
    if (of_type, channels, least, in_app) != (None, None, None, None):
        named = None if channels is None else [name.strip() for name in channels.split(",") if name]
        wanted = check_wish(named, least, preferences.channels(), "", in_app)
        fields |= wish(user, of_type, wanted).fields
    if not fields:
        raise click.UsageError(
            "nothing to set: --channels, --min-severity, --in-app, --quiet, --no-quiet"
        )
    return UserChange(user, fields)


def _quiet_fields(
    user: str, hours: str | None, zone: str | None, no_quiet: bool
) -> dict[str, bytes]:
    from galaxy_notify.intake.rules.preferences import quieted

    if (hours is None) != (zone is None):
        raise click.UsageError("--quiet and --zone require each other")
    if hours is not None and no_quiet:
        raise click.UsageError("use --quiet or --no-quiet, not both")
    if hours is None:
        return dict(quieted(user, None, None, None).fields) if no_quiet else {}
    start, _, end = hours.partition("-")
    return dict(quieted(user, start.strip(), end.strip(), zone).fields)


def _change(
    app: Application, user: str, change: Callable[[Preferences], bool], as_json: bool
) -> None:
    """Make a change and show what holds now."""
    with _opened(app) as preferences:
        changed = change(preferences)
        _show(user, preferences.get(user), as_json=as_json, changed=changed)


@contextmanager
def _opened(app: Application) -> Iterator[Preferences]:
    """Connect as a producer does; what is wrong with the arguments is wrong usage."""
    from galaxy_notify.intake.notifier import Notifier

    with Notifier(app.settings) as notifier, _refusing():
        yield notifier.preferences


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except InvalidPreference as error:
        if error.code != "invalid":
            raise
        raise click.UsageError(str(error)) from None


def _show(user: str, preferences: UserPreferences, *, as_json: bool, **changed: bool) -> None:
    """Print the preferences of a user; as JSON with whether they were *changed*."""
    if as_json:
        shown = {"preferences": preferences.as_json(), "unreadable": [*preferences.unreadable]}
        echo_json({"user": user, **changed, **shown})
        return
    echo_preferences(user, preferences)


def echo_preferences(user: str, preferences: UserPreferences) -> None:
    """Print the preferences of a user for a person."""
    from galaxy_notify.model.preference import Preference

    echo(strong(user) + ("  silenced: receives only mandatory types" * preferences.silenced))
    usual = preferences.of_every_type or Preference()
    rows = [_row("every type", usual, ("as the intent says", "info", "yes"))]
    inherited = ("as every type",) * 3
    rows += [_row(name, wish, inherited) for name, wish in preferences.of_types.items()]
    echo_table(("type", "channels", "from", "in_app"), rows, indent="  ")
    if preferences.quiet is not None:
        hours = preferences.quiet.as_json()
        echo(f"  quiet from {hours['from']} to {hours['to']}, {hours['zone']}")
    if preferences.unreadable:
        note(f"unreadable, treated as not set: {', '.join(preferences.unreadable)}")


def _row(name: str, wish: Preference, unset: Sequence[str]) -> tuple[str, ...]:
    """Return a row; *unset* says what holds where nothing is set."""
    channels, least, in_app = unset
    if wish.channels is not None:
        channels = ", ".join(wish.channels) or "none"
    if wish.in_app is not None:
        in_app = "yes" if wish.in_app else "no"
    return name, channels, wish.min_severity or least, in_app
