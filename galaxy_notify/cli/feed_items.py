"""``feed ls``, ``feed counts`` and ``feed read``: the items of one user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import click

from galaxy_notify.cli.context import Application, listing, with_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.feed_access import connected, run
from galaxy_notify.cli.output import count, echo, echo_json, echo_table, note, shortened
from galaxy_notify.cli.selection import refusing_unknown_values
from galaxy_notify.cli.tables import Cell
from galaxy_notify.cli.users import user_argument
from galaxy_notify.errors import InvalidQuery
from galaxy_notify.model.wording import ago

if TYPE_CHECKING:
    from collections.abc import Sequence

    from galaxy_notify.feed_store.store import FeedStore
    from galaxy_notify.model.feed import Counts, FeedItem
    from galaxy_notify.settings import Settings

_SHOWN: Final = 50
_MOST: Final = 10_000
_PAGE: Final = 200
_HEADER: Final = ("id", "came", "type", "severity", "state", "title")
_WIDTH: Final = 40


class _Listed(NamedTuple):
    """Items of a user, the cursor behind them, and the time of Postgres' clock."""

    items: Sequence[FeedItem]
    cursor: str | None
    now_ms: int


@click.command("ls")
@user_argument
@click.option(
    "--limit",
    type=click.IntRange(1, _MOST),
    default=_SHOWN,
    show_default=True,
    help="Maximum number to list.",
)
@click.option(
    "--cursor", metavar="C", help="Continue after a previous page; the value is printed below it."
)
@click.option("--unread", is_flag=True, help="List unread items only.")
@with_json
@listing
def ls(
    app: Application, user: str, limit: int, cursor: str | None, unread: bool, as_json: bool
) -> int:
    """List the items in a user's feed, newest first.

    Archived and retracted items are not listed. Exit code 3 when there are none.
    """
    with refusing_unknown_values():
        found = run(_list(app.settings, user, limit, cursor, unread))
    if as_json:
        for item in found.items:
            echo_json(item.document())
    else:
        rows = (_row(item, found.now_ms) for item in found.items)
        echo_table(_HEADER, rows, whole=("id",), uncut=("came",))
    if found.cursor is not None:
        note(f"{count(len(found.items))} shown, there may be more: --cursor {found.cursor}")
    if not found.items:
        note("nothing matched")
    return Exit.OK if found.items else Exit.NOTHING


@click.command("counts")
@user_argument
@with_json
def counts(app: Application, user: str, as_json: bool) -> None:
    """Show how many items of a user's feed are unread and unseen."""

    async def read() -> Counts:
        async with connected(app.settings) as store:
            return await store.counts(user)

    _show(user, run(read()), as_json=as_json)


@click.command("read")
@user_argument
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--all", "everything", is_flag=True, help="Mark all that are there now.")
@with_json
def read(
    app: Application, user: str, ids: tuple[str, ...], everything: bool, as_json: bool
) -> None:
    """Mark items in a user's feed as read, and show the counts.

    ID is the id of a notification. Ids that the user does not have change nothing. Safe to repeat.
    """
    from galaxy_notify.telemetry.logs import configure_logs

    if bool(ids) == everything:
        raise click.UsageError("name items by their ids, or all with --all")
    settings = app.settings
    # Where Redis is away, a line reports it: the counts there follow.
    configure_logs(settings.log.level, settings.log.format)
    try:
        _show(user, run(_read(settings, user, ids)), as_json=as_json)
    except InvalidQuery as error:
        raise click.UsageError(str(error)) from None


async def _list(
    settings: Settings, user: str, limit: int, cursor: str | None, unread: bool
) -> _Listed:
    """Read until there are as many as were asked for, or no more."""
    async with connected(settings) as store:
        now_ms = await store.now_ms()
        return await _listed(store, user, limit, cursor, unread, now_ms)


async def _listed(
    store: FeedStore, user: str, limit: int, cursor: str | None, unread: bool, now_ms: int
) -> _Listed:
    from galaxy_notify.feed_store.listing import ListQuery

    items: list[FeedItem] = []
    while True:
        query = ListQuery(min(_PAGE, limit - len(items)), cursor, unread)
        page = await store.list(user, query)
        items += page.items
        cursor = page.next
        if cursor is None or len(items) >= limit:
            return _Listed(items, cursor, now_ms)


async def _read(settings: Settings, user: str, ids: tuple[str, ...]) -> Counts:
    async with connected(settings):
        from galaxy_notify.feed.async_feed import AsyncFeed

        async with AsyncFeed(settings) as feed:
            return await feed.mark_read(user, ids or None, all=not ids)


def _row(item: FeedItem, now_ms: int) -> list[Cell]:
    state = "read" if item.read_at_ms else "seen" if item.seen_at_ms else "unseen"
    return [
        item.notification_id,
        ago(item.at_ms, now_ms, 1),
        shortened(item.type, _WIDTH),
        item.severity,
        state,
        shortened(item.title or item.body or "–", _WIDTH),
    ]


def _show(user: str, found: Counts, *, as_json: bool) -> None:
    if as_json:
        echo_json({"user": user, **found.document()})
    else:
        echo(f"{user}: {count(found.unread)} unread, {count(found.unseen)} unseen")
