"""``feed migrate``, ``feed reconcile`` and ``feed restored``: the Postgres of the feed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify.cli.context import Application, with_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.feed_access import connected, run
from galaxy_notify.cli.output import count, echo, echo_json, plural
from galaxy_notify.cli.screen import good, printable, warn
from galaxy_notify.errors import InvalidPreference
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.feed_store.reconciling import Drift
    from galaxy_notify.settings import Settings

_SHOWN: Final = 20


@click.command("migrate")
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL instead of running it.")
@with_json
def migrate(app: Application, as_sql: bool, as_json: bool) -> None:
    """Bring the schema in Postgres up to this version.

    Run it before the daemons of a new version. Safe to run twice, also at the same time. Starts
    the embedded Postgres for as long as it runs. Refuses the schema of a newer version.
    """
    if as_sql and as_json:
        raise click.UsageError("--sql prints SQL, never JSON")
    from galaxy_notify.feed.opening import needing_extra, open_store

    with needing_extra():
        from galaxy_notify.feed_store import migrations
    if as_sql:
        echo(migrations.sql().rstrip("\n"))
        return
    settings = app.settings
    open_store(settings)
    with _running(settings) as url:
        applied = run(migrations.migrate(settings.feed, url))
    if as_json:
        echo_json({"applied": applied})
    elif applied:
        echo(f"applied {', '.join(applied)}")
    else:
        echo("the schema is up to date")


@click.command("reconcile")
@click.argument("users", nargs=-1, metavar="[USER...]")
@click.option("--fix", is_flag=True, help="Correct wrong counts; without it nothing is written.")
@with_json
def reconcile(app: Application, users: tuple[str, ...], fix: bool, as_json: bool) -> int:
    """Count the items of users again and compare with the stored counts.

    Without a USER, of all users, in pages. Safe beside working writers. Exit code 0 if all counts
    are right or were corrected, 1 if some are wrong.
    """
    _check(users)
    found = run(_reconcile(app.settings, users, fix))
    if as_json:
        echo_json(_document(found, fix=fix))
    else:
        _report(found, fix=fix)
    return Exit.FAILED if found and not fix else Exit.OK


@click.command("restored")
@with_json
def restored(app: Application, as_json: bool) -> None:
    """Begin a new epoch after the database was restored from a backup.

    Counts in Redis and in browsers are newer than those of the backup; with a new epoch the
    restored ones replace them. Run it after each restoration.
    """

    async def draw() -> int:
        async with connected(app.settings) as store:
            return await store.restored()

    epoch = run(draw())
    if as_json:
        echo_json({"epoch": epoch})
    else:
        echo(f"epoch {epoch}: the writer publishes the counts of all users again")


@contextmanager
def _running(settings: Settings) -> Iterator[str | None]:
    """Run the embedded Postgres for the block, and give its URL; None for another Postgres."""
    if settings.feed.url != "embedded":
        yield None
        return
    from galaxy_notify.embedded.postgres import EmbeddedPostgres, postgres_folder

    server = EmbeddedPostgres(postgres_folder(settings))
    SIGNALS.cleanups.append(server.abandon)
    try:
        yield server.start()
    finally:
        server.stop()


async def _reconcile(settings: Settings, users: tuple[str, ...], fix: bool) -> list[Drift]:
    async with connected(settings) as store:
        return [drift async for drift in store.reconcile(users or None, fix)]


def _check(users: tuple[str, ...]) -> None:
    from galaxy_notify.model.preference_input import check_user

    for user in users:
        try:
            check_user(user)
        except InvalidPreference as error:
            raise click.UsageError(str(error)) from None


def _document(found: list[Drift], *, fix: bool) -> dict[str, Any]:
    return {
        "ok": fix or not found,
        "fix": fix,
        "found": len(found),
        "mended": len(found) if fix else 0,
        "findings": [
            {"user": one.user, "stored": one.stored.document(), "real": one.real.document()}
            for one in found
        ],
    }


def _report(found: list[Drift], *, fix: bool) -> None:
    mark = good("corrected") if fix else warn("wrong")
    for user, stored, real in found[:_SHOWN]:
        echo(
            f"{mark}  {printable(user)}: {count(stored.unread)} unread, {count(stored.unseen)}"
            f" unseen stored; {count(real.unread)} and {count(real.unseen)} counted"
        )
    if len(found) > _SHOWN:
        echo(f"and {count(len(found) - _SHOWN)} more: --json has all")
    if not found:
        echo(good("all counts are right"))
    elif not fix:
        echo(f"{plural(len(found), 'user')}; correct: `galaxy-notify feed reconcile --fix`")
