"""``presence``: which users are connected, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from galaxy_notify.cli.context import Application, listing, with_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import count, echo, echo_json, note, shortened
from galaxy_notify.cli.screen import faint, strong
from galaxy_notify.cli.users import user_argument
from galaxy_notify.model.wording import duration

if TYPE_CHECKING:
    from galaxy_notify.redis_inspect.presence import Presence

_SHOWN: Final = 100
_NAME: Final = 64


@click.group("presence")
def command() -> None:
    """Show which users are connected, and to which gateway.

    A user is connected while a gateway holds one of the user's streams. If a gateway dies, its
    users count as connected until their presence expires (realtime.presence_ttl_ms).
    """


@command.command("ls")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=_SHOWN,
    show_default=True,
    help="Maximum number of users to list.",
)
@with_json
@listing
def ls(app: Application, limit: int, as_json: bool) -> None:
    """List connected users with their gateways, in no order.

    A user who connects or disconnects meanwhile may be missing.
    """
    from galaxy_notify.redis_inspect.presence import online_users
    from galaxy_notify.redis_state.deployment import server_now

    shown: set[str] = set()
    with app.open() as deployment:
        now_ms = server_now(deployment)
        for presence in online_users(deployment):
            if presence.user in shown:
                continue
            if len(shown) == limit:
                note(f"{count(limit)} shown, there are more: --limit")
                break
            shown.add(presence.user)
            if as_json:
                echo_json(presence.as_json())
            else:
                echo(
                    f"{strong(shortened(presence.user, 2 * _NAME))}  {instances(presence, now_ms)}"
                )
    if not shown:
        note("no user is connected")


@command.command("show")
@user_argument
@with_json
def show(app: Application, user: str, as_json: bool) -> int:
    """Show the gateways to which a user is connected.

    Exit code 3 when the user is offline.
    """
    from galaxy_notify.redis_inspect.presence import read_presence
    from galaxy_notify.redis_state.deployment import server_now

    with app.open() as deployment:
        now_ms = server_now(deployment)
        found = read_presence(deployment, user)
    if as_json:
        echo_json(found.as_json())
    else:
        echo(f"{strong(user)}  {instances(found, now_ms)}")
    return Exit.OK if found.is_online else Exit.NOTHING


def instances(presence: Presence, now_ms: int) -> str:
    """Return where a user is connected, as people read it."""
    if not presence.is_online:
        return "offline"
    names: list[str] = []
    for one in presence.instances:
        expires = f"(expires in {duration(one.expires_at_ms - now_ms)})"
        names.append(f"{shortened(one.id, _NAME)} {faint(expires)}")
    return f"connected to {', '.join(names)}"
