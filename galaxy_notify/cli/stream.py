"""``stream``: read the gateway stream and look after its groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify.cli.context import Application, listing, pass_uninterrupted, with_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import count, echo, echo_json, echo_table, note, plural
from galaxy_notify.cli.prompts import confirm, yes_option
from galaxy_notify.cli.screen import printable
from galaxy_notify.cli.stream_view import (
    entry_as_json,
    entry_line,
    event_as_json,
    group_rows,
    recent_line,
)
from galaxy_notify.cli.users import user_argument
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.gateway import Event, GatewayConsumer

_SHOWN: Final = 10
_EVENTS: Final = 100
_GROUPS: Final = ("stream", "length", "parked", "group", "lag", "pending", "oldest", "lost")

payload_option = click.option("--payload", is_flag=True, help="Also show the payloads.")


@click.group("stream")
def command() -> None:
    """Read the gateway stream and manage its consumer groups."""


@command.command("tail")
@click.option("--follow", "-f", is_flag=True, help="Keep showing new events, until Ctrl-C.")
@click.option(
    "--count",
    "-n",
    "wanted",
    type=click.IntRange(0, 100_000),
    default=_SHOWN,
    show_default=True,
    help="Number of newest events to start with.",
)
@payload_option
@with_json
@listing
def tail(app: Application, follow: bool, wanted: int, payload: bool, as_json: bool) -> None:
    """Show the newest events of all shards, oldest first.

    Reading does not affect the consumer groups.
    """
    from galaxy_notify.redis_inspect import stream

    with app.open() as deployment:
        read = stream.follow if follow else stream.newest
        for entry in read(deployment.client, deployment.all_keys, wanted):
            if entry is None:
                SIGNALS.raise_if_ending()
                continue
            if as_json:
                echo_json(entry_as_json(entry, payload=payload))
            else:
                echo(entry_line(entry, payload=payload))


@command.command("groups")
@with_json
def groups(app: Application, as_json: bool) -> None:
    """Show each shard's consumer groups, their lag and their losses.

    Lag is the number of unread events; "> 5,000" means more than 5,000 and not counted. Lost
    events were trimmed before the group acknowledged them. Parked entries could not be handled;
    they are kept in the stream that ends in :parked.
    """
    from galaxy_notify.redis_inspect.stream import parked_length, read_streams

    with app.open() as deployment:
        rows = [
            (report, parked_length(deployment.client, deployment.keys(report.shard)))
            for report in read_streams(deployment)
        ]
    if not as_json:
        shown = (row for report, parked in rows for row in group_rows(report, parked))
        echo_table(_GROUPS, shown, whole=("stream", "group"))
        return
    for report, parked in rows:
        for name, group in report.groups.items():
            head = {"stream": report.key, "shard": report.shard, "length": report.length}
            echo_json({**head, "parked": parked, "group": name, **group})


@command.command("consume")
@click.option("--group", required=True, help="Consumer group; created if missing.")
@click.option("--consumer", required=True, help="Unique name of this consumer in the group.")
@click.option("--count", "wanted", type=click.IntRange(1), help="Stop after this many events.")
@payload_option
@pass_uninterrupted
@listing
def consume(app: Application, group: str, consumer: str, wanted: int | None, payload: bool) -> None:
    """Consume events as a group member; print each as a line of JSON.

    An event is acknowledged after it is printed. Redis outages are waited for. Ctrl-C or SIGTERM
    stops it with exit code 0, a second one stops it immediately.
    """
    settings = app.settings
    if SIGNALS.end_signal:
        return
    import asyncio

    from galaxy_notify.gateway import GatewayConsumer
    from galaxy_notify.process.end_signals import EndSignals
    from galaxy_notify.telemetry.logs import configure_logs

    configure_logs("warning", settings.log.format)

    async def main() -> None:
        async with GatewayConsumer(settings, group=group, consumer=consumer) as gateway:
            printer = _Printer(gateway, wanted, payload)
            signals = EndSignals(lambda _: gateway.stop(), lambda _: None)
            signals.listen()
            try:
                await gateway.run(printer)
            finally:
                signals.disarm()
        if printer.broken is not None:
            raise printer.broken

    asyncio.run(main())


@command.command("user")
@user_argument
@click.option(
    "--limit",
    type=click.IntRange(1, 300),
    default=_EVENTS,
    show_default=True,
    help="Maximum number of newest events to show.",
)
@payload_option
@with_json
@listing
def user_(app: Application, user: str, limit: int, payload: bool, as_json: bool) -> int:
    """Show a user's recent list: the events that a client can catch up on, oldest first.

    The cursor is what a client sends to get the events behind it. Exit code 3 when the list is
    empty, 1 when its key has another type.
    """
    from galaxy_notify.redis_inspect.recent import read_recent

    with app.open() as deployment:
        found = read_recent(deployment, user, limit)
    for entry in found.entries:
        if as_json:
            echo_json(entry.as_json(payload=payload))
        else:
            echo(recent_line(entry, payload=payload))
    if found.error:
        note(f"unreadable: {found.error}")
        return Exit.FAILED
    if not found.entries:
        note("no recent events")
    return Exit.OK if found.entries else Exit.NOTHING


@command.command("drop-group")
@click.argument("group")
@click.option("--force", is_flag=True, help="Drop the group even if it is or may be in use.")
@yes_option
@with_json
def drop_group(app: Application, group: str, force: bool, yes: bool, as_json: bool) -> int:
    """Delete a group on all shards, so that it no longer blocks trimming.

    Its position, its pending events and its record of handled events are deleted, and the backlog
    of the group feed. Stop its consumers first: a running consumer recreates the group and receives
    all events in the stream again. Without --force, a group is not dropped if a consumer was seen
    within ten minutes, or if it has read everything and may still have a waiting consumer.
    """
    from galaxy_notify.model.json_data import is_carried
    from galaxy_notify.redis_inspect import stream
    from galaxy_notify.redis_inspect.readers import read_readers, whose_use
    from galaxy_notify.redis_inspect.stream import read_streams
    from galaxy_notify.redis_state.group_report import least_lag

    shown = printable(group)
    if not is_carried(group):
        raise click.UsageError(f"not a group name: {shown}")
    with app.open() as deployment:
        streams = [report for report in read_streams(deployment) if group in report.groups]
        reports = [report.groups[group] for report in streams]
        if not force:
            readers = read_readers(deployment, ((report.key, group) for report in streams))
            unread = any(map(least_lag, reports))
            if use := whose_use(readers.values(), unread=unread):
                raise click.UsageError(
                    f"group {shown} may be in use: {use}\nIts consumers would lose their position "
                    "in the stream. Stop them first, or use --force."
                )
        moved = stream.moved_entries(deployment.client, deployment.all_keys, group)
        if reports or moved:
            confirm(_question(shown, reports, moved), yes=yes)
        dropped = stream.drop_group(deployment.client, deployment.all_keys, group)
    if as_json:
        echo_json({"group": group, "shards": dropped})
    elif dropped:
        echo(f"dropped group {shown} on {plural(dropped, 'shard')}")
    else:
        note(f"no group {shown}")
    return Exit.OK if dropped else Exit.NOTHING


def _question(group: str, reports: list[Any], moved: int) -> str:
    from galaxy_notify.redis_state.group_report import least_lag

    pending = sum(report["pending"] for report in reports)
    lag = count(sum(map(least_lag, reports)))
    if any(report["lag"] is None for report in reports):
        lag = f"more than {lag}"
    return (
        f"Drop group {group} on {plural(len(reports), 'shard')}, with {count(pending)} pending"
        f" and {lag} unread events{f' and a backlog of {count(moved)}' if moved else ''}?"
    )


@dataclass
class _Printer:
    """A handler that prints events, and stops the consumer after enough or without a reader."""

    gateway: GatewayConsumer
    wanted: int | None
    payload: bool
    printed: int = 0
    broken: OSError | None = None

    async def __call__(self, event: Event) -> None:
        document = event_as_json(event, payload=self.payload)
        try:
            echo_json(document)
        except OSError as error:
            self.broken = error
            self.gateway.stop()
            raise
        self.printed += 1
        if self.printed == self.wanted:
            self.gateway.stop()
