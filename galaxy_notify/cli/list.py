"""``list``: what was accepted, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify.cli.context import Application, listing, with_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import count, echo_json, echo_table, note, shortened
from galaxy_notify.cli.screen import printable
from galaxy_notify.cli.selection import moment_options, refusing_unknown_values, repeated, span_ms
from galaxy_notify.cli.tables import Cell
from galaxy_notify.model.wording import ago

if TYPE_CHECKING:
    from galaxy_notify.operations.listing import Item, Page
    from galaxy_notify.redis_state.deployment import Deployment

_SHOWN: Final = 100
_NAMES: Final = ("type", "producer", "severity")
_HEADER: Final = ("id", "accepted", *_NAMES, "due", "open", "routes", "state")
_UNCUT: Final = ("accepted", "due")
_WIDTH: Final = 24


@click.command("list")
@repeated("--type", "types", "Notification type.", metavar="T")
@repeated("--producer", "producers", "Producer.", metavar="P")
@click.option("--user", metavar="U", help="Recipient.")
@repeated(
    "--state",
    "states",
    "Status of one of its routes (with --user: of that user's routes), or open.",
    metavar="S",
)
@moment_options("Accepted")
@click.option(
    "--limit",
    type=click.IntRange(1, _SHOWN),
    default=_SHOWN,
    show_default=True,
    help="Maximum number to list.",
)
@click.option(
    "--cursor", metavar="C", help="Continue after a previous page; the value is printed below it."
)
@with_json
@listing
def command(
    app: Application, /, limit: int, cursor: str | None, as_json: bool, **given: Any
) -> int:
    """List accepted notifications, newest first, including cancelled ones.

    A notification is listed until its record expires. Exit code 3 when nothing matched.
    """
    with app.open() as deployment, refusing_unknown_values():
        page, now_ms = _read(deployment, given, limit, cursor)
    if as_json:
        for item in page.items:
            echo_json(item.as_json())
    else:
        rows = (_row(item, now_ms) for item in page.items)
        echo_table(_HEADER, rows, whole=("id",), uncut=_UNCUT)
    for key in page.foreign:
        note(f"this shard cannot be listed: key {printable(key)} has another type")
    if page.cursor is not None:
        note(f"{count(len(page.items))} shown, there may be more: --cursor {page.cursor}")
    if not page.items:
        note("nothing matched")
    return Exit.OK if page.items else Exit.NOTHING


def _read(
    deployment: Deployment, given: dict[str, Any], limit: int, cursor: str | None
) -> tuple[Page, int]:
    """Read until there are as many as were asked for, or no more; return the server's time, too."""
    from galaxy_notify.operations.list_filter import ListFilter
    from galaxy_notify.operations.listing import list_notifications
    from galaxy_notify.redis_state.deployment import server_now

    now_ms = server_now(deployment)
    since_ms, until_ms = span_ms(given.pop("since"), given.pop("until"), now_ms)
    wanted = ListFilter(**given, since_ms=since_ms, until_ms=until_ms)
    page = list_notifications(deployment, wanted, limit, cursor)
    while page.cursor is not None and len(page.items) < limit:
        more = list_notifications(deployment, wanted, limit - len(page.items), page.cursor)
        more.items[:0] = page.items
        page = more
    return page, now_ms


def _row(item: Item, now_ms: int) -> list[Cell]:
    shown = item.as_json()
    routes = shown["routes"]
    return [
        shown["notification_id"],
        ago(shown["accepted_at_ms"], now_ms, 1),
        *(shortened(shown[name] or "–", _WIDTH) for name in _NAMES),
        ago(shown["due_at_ms"], now_ms, 1) if shown["due_at_ms"] else "–",
        shown["open"],
        routes if item.has_all_routes else f"{routes:,}+",
        _state(shown),
    ]


def _state(shown: dict[str, Any]) -> str:
    """Return the status of all routes, or how many have which."""
    if shown["state"] is not None and shown["state"] in shown["states"]:
        return str(shown["state"])
    counted = sorted((shown["states"] or {}).items(), key=lambda one: -one[1])
    return ", ".join(f"{number:,} {status}" for status, number in counted)
