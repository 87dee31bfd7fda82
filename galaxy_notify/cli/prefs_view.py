"""How the preferences of a user are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from galaxy_notify.cli.output import echo, echo_json, note, strong, table

if TYPE_CHECKING:
    from galaxy_notify.model.preference import Preference
    from galaxy_notify.model.user_preferences import UserPreferences


def show_json(user: str, preferences: UserPreferences, *, changed: bool | None = None) -> None:
    """Print the preferences of a user as one JSON document."""
    told: dict[str, Any] = {"user": user}
    if changed is not None:
        told["changed"] = changed
    unreadable = list(preferences.unreadable)
    echo_json({**told, "preferences": preferences.as_json(), "unreadable": unreadable})


def show_preferences(user: str, preferences: UserPreferences) -> None:
    """Print the preferences of a user for people."""
    from galaxy_notify.model.preference import Preference

    echo(strong(user) + ("  silenced: gets nothing but what is mandatory" * preferences.silenced))
    rows = [_row("every type", preferences.of_every_type or Preference(), "as asked for", "info")]
    for name, wish in preferences.of_types.items():
        rows.append(_row(name, wish, "as every type", "as every type"))
    for line in table(("type", "channels", "from"), rows, indent="  "):
        echo(line)
    if preferences.quiet is not None:
        hours = preferences.quiet.as_json()
        echo(f"  quiet from {hours['from']} to {hours['to']}, {hours['zone']}")
    if preferences.unreadable:
        note(f"cannot be read, and counts as not set: {', '.join(preferences.unreadable)}")


def _row(name: str, wish: Preference, channels: str, least: str) -> tuple[str, str, str]:
    """Return a row; *channels* and *least* say what holds where nothing is set."""
    named = channels if wish.channels is None else ", ".join(wish.channels) or "none"
    return name, named, wish.min_severity or least
