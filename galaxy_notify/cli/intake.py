"""``intake``: take intents from a Redis stream, and look after those that were rejected."""

from __future__ import annotations

import faulthandler
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify import __version__
from galaxy_notify.cli.context import Application, listing, pass_uninterrupted, with_json
from galaxy_notify.cli.moves import check_bulk, report
from galaxy_notify.cli.output import clock, count, echo_json, echo_table, plural, shortened
from galaxy_notify.cli.prompts import confirm, yes_option
from galaxy_notify.cli.screen import bad
from galaxy_notify.cli.selection import (
    MOST_LISTED,
    Listing,
    SelectableKind,
    Selection,
    repeated,
    selecting,
)
from galaxy_notify.cli.tables import Cell
from galaxy_notify.model.wording import duration
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.operations.rejects import RejectFilter, Rejects
    from galaxy_notify.redis_inspect.rejects import RejectRow
    from galaxy_notify.settings import Settings

_HEAD: Final = ("stream", "group", "unread", "pending", "oldest", "rejects")


@click.group("intake", invoke_without_command=True)
@click.pass_context
@pass_uninterrupted
def command(application: Application, context: click.Context) -> None:
    """Read and accept intents from a Redis stream.

    Reads the stream intake.stream as a consumer of the group intake.group. Each entry has one
    field, intent, with an intent as JSON. Any number of readers share the entries. SIGTERM or
    SIGINT drains and stops it with exit code 0, a second one stops it immediately. Redis outages
    are waited for.
    """
    if context.invoked_subcommand is None:
        _read(application.settings)


@command.command("status")
@with_json
def status(app: Application, as_json: bool) -> None:
    """Show the state of the intent stream.

    Prints undelivered and pending entries, the age of the oldest of each, and the rejects.
    """
    from galaxy_notify.redis_inspect.rejects import read_state
    from galaxy_notify.redis_state.keys import IntentKeys

    own = app.settings.intake
    with app.open() as deployment:
        state = read_state(deployment, IntentKeys(own.stream), own.group)
    if as_json:
        echo_json(
            {
                "stream": own.stream,
                "group": own.group,
                "unread": state.unread,
                "pending": state.pending,
                "oldest_s": None if state.oldest_ms is None else state.oldest_ms / 1000,
                "rejects": state.rejects,
            }
        )
        return
    oldest = None if state.oldest_ms is None else duration(state.oldest_ms)
    rejected = bad(count(state.rejects)) if state.rejects else 0
    row = (own.stream, own.group, state.unread, state.pending, oldest, rejected)
    echo_table(_HEAD, [row])


def _read(settings: Settings) -> None:
    if SIGNALS.end_signal:
        return
    from galaxy_notify.cli.service import serve
    from galaxy_notify.daemon.intake import Intake
    from galaxy_notify.telemetry.export import start_telemetry
    from galaxy_notify.telemetry.logs import configure_logs, get_logger

    faulthandler.enable()
    configure_logs(settings.log.level, settings.log.format)
    telemetry = start_telemetry(
        {"service.name": "galaxy-notify-intake", "service.version": __version__}
    )
    log = get_logger("intake")

    async def main() -> None:
        await Intake(settings, telemetry).run()

    serve(main, lambda error: log.error("intake failed", exc_info=error))


_REJECTS: Final = ("id", "at", "code", "field", "message", "intent")
_CODES: Final = ("invalid", "conflict", "too_large", "abandoned")
_ID: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")


def _check_id(text: str) -> None:
    if not _ID.fullmatch(text):
        raise click.UsageError(f"not the id of a reject: {text}")


_KIND: Final = SelectableKind(
    "reject",
    "Rejected",
    {
        "codes": repeated(
            "--code",
            "codes",
            f"Code: {', '.join(_CODES)}.",
            type=click.Choice(_CODES),
            metavar="CODE",
        )
    },
    example="--code",
    check_id=_check_id,
    done={"replay": "in the stream again", "purge": "purged"},
)


@command.group("rejects")
def rejects() -> None:
    """Manage intents that were rejected.

    Rejects are kept in the stream that ends in :rejects until they are replayed or purged.
    """


@rejects.command("ls")
@selecting(_KIND)
@with_json
@listing
def ls(app: Application, selection: Selection, as_json: bool) -> int:
    """List rejects, oldest first; at most 100 without --limit or --all."""
    listed = Listing(selection)
    with _opened(app) as stored:
        for page in listed.pages(_chosen(stored, selection)):
            _show(page, as_json=as_json)
    return listed.end(MOST_LISTED)


@rejects.command("replay")
@selecting(_KIND)
@with_json
def replay(app: Application, selection: Selection, as_json: bool) -> int:
    """Put rejected intents back into the intent stream, unchanged; each moves once.

    Intents that were too large cannot be replayed: only their beginning is kept.
    """
    check_bulk("replay", selection, asks=False)
    with _opened(app) as stored:
        outcome = stored.replay(_ids(stored, selection))
    return report("replay", _KIND, outcome, as_json=as_json)


@rejects.command("purge")
@selecting(_KIND)
@yes_option
@with_json
def purge(app: Application, selection: Selection, yes: bool, as_json: bool) -> int:
    """Delete rejects permanently; `intake rejects ls --json` saves a copy."""
    check_bulk("purge", selection, asks=not yes)
    with _opened(app) as stored:
        ids = list(_ids(stored, selection))
        if ids and selection.is_bulk:
            confirm(f"purge {plural(len(ids), 'reject')}?", yes=yes)
        outcome = stored.purge(ids)
    return report("purge", _KIND, outcome, as_json=as_json)


@contextmanager
def _opened(app: Application) -> Iterator[Rejects]:
    from galaxy_notify.operations.rejects import Rejects
    from galaxy_notify.redis_state.keys import IntentKeys

    with app.open() as deployment:
        yield Rejects(deployment, IntentKeys(app.settings.intake.stream))


def _chosen(stored: Rejects, selection: Selection) -> Iterable[tuple[str, RejectRow | None]]:
    if selection.is_bulk:
        return ((row.id, row) for row in stored.matching(_filter(stored, selection, MOST_LISTED)))
    ids = list(_ids(stored, selection))
    return zip(ids, stored.find(ids), strict=True)


def _ids(stored: Rejects, selection: Selection) -> Iterable[str]:
    """Return the ids; an invalid one on standard input stops the command before it begins."""
    if selection.is_bulk:
        return (row.id for row in stored.matching(_filter(stored, selection)))
    ids = list(selection.named())
    for text in ids:
        _check_id(text)
    return ids


def _filter(stored: Rejects, selection: Selection, limit: int | None = None) -> RejectFilter:
    from galaxy_notify.operations.rejects import RejectFilter

    return selection.filter_of(RejectFilter, stored.now_ms, limit)


def _show(rows: list[RejectRow], *, as_json: bool) -> None:
    documents = [row.as_json() for row in rows]
    if as_json:
        for document in documents:
            echo_json(document)
        return
    echo_table(_REJECTS, map(_cells, documents), whole=("id",))


def _cells(document: dict[str, Any]) -> list[Cell]:
    widths = {"code": 20, "field": 30, "message": 60, "intent": 40}
    texts = (shortened(document[name], width) for name, width in widths.items())
    return [document["id"], clock(document["at_ms"]), *texts]
