"""``status``: what waits, what is late, who works and who reads, once or again and again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from galaxy_notify.cli.context import Application, listing, with_json
from galaxy_notify.cli.exits import Exit, is_misconfigured, unavailable_message
from galaxy_notify.cli.output import clock, count, echo, plural, shortened
from galaxy_notify.cli.screen import (
    bad,
    faint,
    good,
    on_screen,
    printable,
    redrawn,
    strong,
    warn,
    wrapped,
)
from galaxy_notify.cli.standard_streams import RESULTS, is_terminal
from galaxy_notify.cli.stream_view import lag_shown
from galaxy_notify.cli.tables import Cell, table
from galaxy_notify.errors import ConfigurationError, GalaxyNotifyError
from galaxy_notify.model.wording import ago, duration, size
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.operations.status import DeploymentStatus
    from galaxy_notify.redis_inspect.external import ExternalChannel
    from galaxy_notify.redis_inspect.feed import FeedState
    from galaxy_notify.redis_inspect.inspector import ChannelBacklog
    from galaxy_notify.redis_inspect.memory import MemoryUse
    from galaxy_notify.redis_inspect.stream import StreamReport

_EVERY_S: Final = 2.0
_CLEAR: Final = "\033[2J"
_HINT: Final = "galaxy-notify status"
_INDENT: Final = "  "
_NAME: Final = 64
_WRITES = {"taken": "accepts writes", "refused": "refuses writes", "unknown": "writes: unknown"}
_STATES = {"working": good, "silent": warn, "stopped": bad, "gone": bad}
_ALWAYS = frozenset({"accepted", "published", "dead_lettered"})


@click.command("status")
@click.option("--watch", is_flag=True, help="Refresh every 2 seconds, until Ctrl-C.")
@with_json
@listing
def command(app: Application, watch: bool, as_json: bool) -> int:
    """Show backlog, late routes, workers and consumer groups.

    scheduled counts all waiting routes, including leased ones; due counts routes that can be
    published now; overdue counts routes that have been due for more than one second. Exit code 1
    when Redis is away.
    """
    if not watch:
        echo(_shown(app, as_json=as_json))
        return Exit.OK
    draws = not as_json and is_terminal(sys.stdout)
    if draws:
        RESULTS.write(_CLEAR, newline=False)
    while True:
        SIGNALS.raise_if_ending()
        text = _shown_or_away(app, as_json=as_json)
        if draws:
            shown = on_screen(text.splitlines(), _HINT)
            RESULTS.write("".join(redrawn(shown)), newline=False)
        else:
            echo(text)
        time.sleep(_EVERY_S)


def _shown(app: Application, *, as_json: bool) -> str:
    from galaxy_notify.operations.status import read_status

    with app.open() as deployment:
        status = read_status(deployment, has_feed=bool(app.settings.feed.url))
    if as_json:
        return json.dumps(status.as_json(), separators=(",", ":"))
    return "\n".join(_lines(status))


def _shown_or_away(app: Application, *, as_json: bool) -> str:
    try:
        return _shown(app, as_json=as_json)
    except GalaxyNotifyError as error:
        if isinstance(error, ConfigurationError) or is_misconfigured(error):
            raise
        away = unavailable_message(error)
        return json.dumps({"error": away}) if as_json else bad(away)


def _lines(status: DeploymentStatus) -> Iterator[str]:
    """Lay a status out for a person."""
    uptime, server = status.redis.uptime_s, f"{status.server.flavour} {status.server.version}"
    up = f" up for {duration(uptime * 1000)}" if uptime else ""
    server = f"{server}{up}, {_WRITES[status.redis.writes]}"
    yield from wrapped(f"{server}, {plural(status.shards, 'shard')}, {clock(status.at_ms)}")
    yield from _alarms(status)
    yield from _section("channels", _channels(status))
    yield from _section("streams", _streams(status))
    yield from _section("workers", _workers(status))
    if status.gateways:
        yield from _section("gateways", _gateways(status))
    if status.feed is not None:
        yield from _section("feed", _feed(status.feed, status.at_ms))
    if status.memory is not None:
        yield from _section("memory", list(_memory(status.memory)))
    totals = {name: total for name, total in status.totals.items() if total or name in _ALWAYS}
    yield from _section("since the deployment began", _counts(totals))
    if skipped := {reason: total for reason, total in status.skipped.items() if total}:
        yield from _section("skipped, by reason", _counts(skipped))


def _section(title: str, body: list[str]) -> Iterator[str]:
    yield ""
    yield strong(title)
    yield from body or [_INDENT + faint("none")]


def _alarms(status: DeploymentStatus) -> Iterator[str]:
    from galaxy_notify.operations.alarms import alarms

    for alarm in alarms(status):
        colour = bad if alarm.level == "error" else warn
        todo = f": {printable(alarm.todo)}" if alarm.todo else ""
        yield from wrapped(f"{colour(f'! {printable(alarm.what)}')}{todo}", indent=_INDENT)
        for line in alarm.more:
            yield from wrapped(printable(line), first=_INDENT, indent=_INDENT * 2)


def _channels(status: DeploymentStatus) -> list[str]:
    header = ("channel", "scheduled", "due", "overdue", "oldest", "leased", "dead", "")
    rows = (
        _channel(name, backlog, status.shards, status.external.get(name))
        for name, backlog in status.channels.items()
    )
    return table(header, rows, indent=_INDENT)


def _channel(
    name: str, backlog: ChannelBacklog, shards: int, external: ExternalChannel | None
) -> list[Cell]:
    """Return the row of a channel; of an external one its last cell says how many hosts rest."""
    late = backlog.oldest_overdue_ms
    paused = "paused"
    if backlog.paused_shards < shards:  # an interrupted pause is not on every shard
        paused = f"paused on {backlog.paused_shards} of {plural(shards, 'shard')}"
    state = warn(paused) if backlog.paused else good("open")
    if external and external.breakers_open and not backlog.paused:
        state = warn(f"{plural(external.breakers_open, 'host')} not answering")
    return [
        name,
        backlog.scheduled,
        backlog.due,
        warn(count(backlog.overdue)) if backlog.overdue else 0,
        warn(duration(late)) if late else None,
        backlog.leased,
        warn(count(backlog.dead)) if backlog.dead else 0,
        state,
    ]


def _streams(status: DeploymentStatus) -> list[str]:
    header = ("stream", "length", "group", "lag", "pending", "oldest", "lost", "")
    rows = (row for stream in status.streams for row in _stream(stream))
    return table(header, rows, indent=_INDENT, whole=("stream", "group"))


def _stream(stream: StreamReport) -> Iterator[list[Cell]]:
    state = bad("holds") if stream.holding else ""
    if not stream.groups:
        yield [stream.key, stream.length, faint("no group"), None, None, None, None, state]
    for name, group in stream.groups.items():
        oldest = group["oldest_pending_s"]
        yield [
            stream.key,
            stream.length,
            shortened(name, _NAME),
            lag_shown(group),
            group["pending"],
            None if oldest is None else duration(oldest * 1000),
            group["lost"],
            state,
        ]


def _memory(use: MemoryUse) -> Iterator[str]:
    kept = "unknown" if use.kept is None else size(use.kept)
    parts = [f"waiting {size(use.waiting)}", f"kept after publishing {kept}"]
    parts += [f"dead letters {size(use.dead)}"] * bool(use.dead)
    parts.append(f"streams {size(use.streams)}")
    if use.used is not None:
        limit = f" of {size(use.limit)}" if use.limit and use.is_limit_set else ""
        parts.append(f"redis {size(use.used)}{limit}")
    sampled = faint(f"(estimated from {plural(len(use.samples), 'notification')})")
    yield from wrapped(f"{', '.join(parts)} {sampled}", first=_INDENT, indent=_INDENT)


def _workers(status: DeploymentStatus) -> list[str]:
    header = ("worker", "host", "pid", "version", "started", "progress", "")
    rows = (
        [
            shortened(worker.id, _NAME),
            shortened(worker.host, _NAME),
            str(worker.pid),
            shortened(worker.version, _NAME),
            ago(worker.started_ms, status.at_ms) if worker.started_ms else None,
            ago(worker.progress_ms, status.at_ms),
            _STATES[worker.state](worker.state),
        ]
        for worker in status.workers
    )
    return table(header, rows, indent=_INDENT, whole=("worker",))


def _gateways(status: DeploymentStatus) -> list[str]:
    header = ("gateway", "host", "pid", "connections", "users", "lag", "started", "progress", "")
    rows = (
        [
            shortened(gateway.id, _NAME),
            shortened(gateway.host, _NAME),
            str(gateway.pid),
            gateway.connections,
            gateway.users,
            warn(count(gateway.lag)) if gateway.is_behind else gateway.lag,
            ago(gateway.started_ms, status.at_ms) if gateway.started_ms else None,
            ago(gateway.progress_ms, status.at_ms),
            _STATES[gateway.state](gateway.state),
        ]
        for gateway in status.gateways
    )
    return table(header, rows, indent=_INDENT, whole=("gateway",))


def _feed(feed: FeedState, now_ms: int) -> list[str]:
    header = ("lag", "backlog", "parked", "oldest", "writers", "progress")
    latest_ms = max((writer.progress_ms for writer in feed.writers), default=None)
    row: list[Cell] = [
        feed.lag,
        warn(count(feed.backlog)) if feed.backlog else 0,
        warn(count(feed.parked)) if feed.parked else 0,
        duration(feed.oldest_ms) if feed.waiting else None,
        feed.alive,
        None if latest_ms is None else ago(latest_ms, now_ms),
    ]
    return table(header, [row], indent=_INDENT)


def _counts(counts: dict[str, int]) -> list[str]:
    names = [name.replace("_", "-") for name in counts]
    return table(names, [[*counts.values()]], indent=_INDENT)
