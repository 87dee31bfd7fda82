"""Whether the feed keeps up, and whether its Postgres is as the feed needs it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from galaxy_notify.errors import (
    ConfigurationError,
    GalaxyNotifyError,
    Misconfigured,
    Unavailable,
)
from galaxy_notify.model.preference import IN_APP
from galaxy_notify.model.wording import duration, size
from galaxy_notify.operations.alarms import alarms
from galaxy_notify.operations.finding import AVAILABILITY, Finding, Level
from galaxy_notify.operations.status import DeploymentStatus
from galaxy_notify.redis_inspect.feed import FeedState
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.settings import FeedSettings, Settings
from galaxy_notify.settings.values import EMBEDDED

if TYPE_CHECKING:
    from galaxy_notify.feed_store.report import PostgresReport, Table

INSTALL: Final = "the feed needs more packages: pip install 'galaxy-notify[feed]'"
_LATER: Final = "notifications come late into the feed; none is lost, and live delivery goes on"
_GRANT: Final = "GRANT SELECT, INSERT, UPDATE, DELETE ON feed_item, feed_user, feed_epoch"
# The alarm sends to this command.
_WRITERS_ARE_LATE: Final = "see what is said of postgres here, and the logs of the writers"
#: Fewer rows than this are removed by the next vacuum, whatever their share is.
_MANY_DEAD: Final = 100_000
_DEAD_SHARE: Final = 0.4
#: From this share of its maximum on, a backlog is reported as nearly full.
_NEARLY_FULL: Final = 0.8


def feed_findings(status: DeploymentStatus, feed: FeedSettings) -> Iterator[Finding]:
    """Judge what waits for the feed, and who writes it; nothing without a feed."""
    state = status.feed
    if state is None:
        return
    found = [alarm for alarm in alarms(status) if alarm.kind == "feed"]
    for alarm in found:
        todo = alarm.todo if state.unattended else _WRITERS_ARE_LATE
        yield Finding("warning", "feed", alarm.what, _LATER, todo, AVAILABILITY)
    yield from _backlog(state, feed)
    if state.parked:
        what = f"{state.parked:,} events could not be stored in the feed and are parked"
        means = "they are missing in the feed of their users"
        todo = "the reason is in the logs of the writers (event parked) and in the key parked of"
        todo += " each shard: XREVRANGE it, and XDEL what was dealt with"
        yield Finding("warning", "feed", what, means, todo)
    if not found:
        what = f"writers: {state.alive:,}, events that wait: {state.waiting:,}"
        yield Finding("ok", "feed", what)


def _backlog(state: FeedState, feed: FeedSettings) -> Iterator[Finding]:
    if state.fullest < _NEARLY_FULL * feed.backlog_max:
        return
    is_full = state.fullest >= feed.backlog_max
    level: Level = "error" if is_full else "warning"
    what = f"the backlog of the feed is {'full' if is_full else 'nearly full'}: {state.fullest:,}"
    what += f" of feed.backlog_max = {feed.backlog_max:,} events in one shard"
    means = "when it is full and the gateway stream too, stream channels are held"
    todo = "bring Postgres back, or raise feed.backlog_max while memory allows"
    yield Finding(level, "feed", what, means, todo, AVAILABILITY)


def channel_findings(settings: Settings, shared: SharedSettings) -> Iterator[Finding]:
    """Judge the channels that settings of the feed and the rules name, against the deployment's."""
    known = ", ".join(shared.channels)
    todo = f"correct the name, or add it to worker.channels ({known})"
    if unknown := [name for name in shared.default_channels if name not in shared.channels]:
        what = f"rules.default_channels: {', '.join(unknown)} not in worker.channels"
        means = "ignored: intents without channels go to the other ones"
        if not shared.defaults:
            means = "intents without channels are refused"
        yield Finding("warning", "settings", what, means, todo)
    if not settings.feed.url:
        return
    yield from _never_read(settings, shared)
    unknown = [name for name in settings.feed.channels if name not in shared.channels]
    kept = [name for name in settings.feed.channels if name in shared.channels]
    if unknown and (not kept or "channels" in settings.feed.model_fields_set):
        what = f"feed.channels: {', '.join(unknown)} not in worker.channels"
        means = "ignored: the feed keeps the events of the other channels"
        if not kept:
            means = "the feed keeps no events of routes"
        yield Finding("warning", "feed", what, means, todo)
    elif IN_APP in kept and IN_APP not in shared.defaults:
        what = f"rules.default_channels has no {IN_APP}"
        yield Finding("ok", "feed", f"{what}: only intents that name it come into the feed")


def _never_read(settings: Settings, shared: SharedSettings) -> Iterator[Finding]:
    """Find channels that ask the feed for what cannot be in it."""
    asking = [name for name, channel in settings.channels.items() if channel.unless_read]
    if asking and not (IN_APP in shared.channels and IN_APP in settings.feed.channels):
        names = ", ".join(f"channels.{name}" for name in asking)
        what = f"unless_read of {names}: {IN_APP} is not in worker.channels and feed.channels"
        means = "nothing is ever read there, so everything is sent"
        todo = f"add {IN_APP} to both"
        yield Finding("warning", "settings", what, means, todo)


def postgres_findings(settings: Settings) -> Iterator[Finding]:
    """Ask Postgres and judge the answer; nothing where the settings name no Postgres."""
    if not settings.feed.url:
        return
    try:
        report = _report(settings)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("psycopg", "psycopg_pool"):
            raise
        yield Finding("error", "postgres", INSTALL, _LATER, "", AVAILABILITY)
    except GalaxyNotifyError as error:
        yield _failed(error)
    else:
        yield from judge_postgres(report, time.time_ns() // 1_000_000)


def _report(settings: Settings) -> PostgresReport:
    from galaxy_notify.feed_store.report import read_report

    feed = settings.feed
    return asyncio.run(read_report(feed, _embedded_url(settings) if feed.url == EMBEDDED else None))


def _embedded_url(settings: Settings) -> str:
    """Return the URL of the embedded server; without one, say also why none could be started."""
    from galaxy_notify.embedded.postgres import check_startable, connect_url, postgres_folder

    folder = postgres_folder(settings)
    try:
        return connect_url(folder)
    except Unavailable:
        check_startable(folder, os.environ)
        raise


def _failed(error: GalaxyNotifyError) -> Finding:
    todo = "check feed.url, the password and that the server runs"
    if isinstance(error, ConfigurationError | Misconfigured):
        todo = "the feed waits until this is corrected"
    return Finding("error", "postgres", str(error), _LATER, todo, AVAILABILITY)


def judge_postgres(report: PostgresReport, now_ms: int) -> Iterator[Finding]:
    """Judge what Postgres answered; *now_ms* is the time in epoch ms."""
    problems = list(_problems(report, now_ms))
    yield from problems
    yield from _pooling(report)
    if not problems:
        bytes_ = size(sum(table.bytes for table in report.tables))
        rows = sum(table.live for table in report.tables if table.name == "feed_item")
        major = report.version // 10_000
        what = f"PostgreSQL {major}, about {rows:,} notifications, {bytes_} ({report.server})"
        yield Finding("ok", "postgres", what)


def _problems(report: PostgresReport, now_ms: int) -> Iterator[Finding]:
    if report.missing:
        what = f"the schema of the feed lacks {', '.join(report.missing)}"
        yield Finding("error", "postgres", what, _LATER, "`galaxy-notify feed migrate`")
    if report.is_read_only:
        what, todo = "Postgres refuses writes", "name the primary in feed.url"
        what += ": it is a standby, or the database is read-only"
        yield Finding("error", "postgres", what, _LATER, todo, AVAILABILITY)
    if report.denied:
        what = f"the user {report.user} lacks {', '.join(report.denied)}"
        yield Finding(
            "error", "postgres", what, _LATER, f"`{_GRANT} TO {report.user}`", AVAILABILITY
        )
    if report.unenforced and not report.missing:
        what = (
            f"the user {report.user} has no {' and no '.join(report.unenforced)} in this database"
        )
        means = "each transaction sets them itself; another client in its name has no limit"
        yield Finding("warning", "postgres", what, means, "`galaxy-notify feed migrate`")
    if not report.vacuums_itself:
        means = "rows that were replaced stay, and the tables grow without end"
        yield Finding("warning", "postgres", "autovacuum is off", means, "set autovacuum = on")
    for table in report.tables:
        yield from _bloat(table, now_ms)


def _bloat(table: Table, now_ms: int) -> Iterator[Finding]:
    if table.dead < _MANY_DEAD or table.dead < _DEAD_SHARE * (table.live + table.dead):
        return
    vacuumed = "never vacuumed"
    if table.vacuumed_ms is not None:
        vacuumed = f"last vacuumed {duration(max(0, now_ms - table.vacuumed_ms))} ago"
    what = f"{table.name} has {table.dead:,} dead rows beside {table.live:,}, {vacuumed}"
    means = "reads of the feed become slower, and the disk fills"
    todo = f"`VACUUM {table.name}`; look for transactions that stay open, and at autovacuum"
    yield Finding("warning", "postgres", what, means, todo)


def _pooling(report: PostgresReport) -> Iterator[Finding]:
    if report.pooling == "transaction":
        what = "a pooler is in between and shares its connections by transactions, as PgBouncer's"
        means = "each transaction sets its own limits, so this loses nothing"
        yield Finding("ok", "postgres", f"{what} pool_mode = transaction", means)
    elif report.pooling == "session":
        what = "a pooler is in between, and each client seems to keep a connection of its own"
        means = "each process of galaxy-notify may take four of its connections for good"
        todo = "use pool_mode = transaction, or let the pool have as many"
        yield Finding("ok", "postgres", what, means, todo)
