"""``intake``: take intents from a Redis stream, and look after those that were rejected."""

from __future__ import annotations

import faulthandler
from typing import TYPE_CHECKING, Final

import click

from galaxy_notify import __version__
from galaxy_notify.cli.context import Application, pass_uninterrupted, with_json
from galaxy_notify.cli.intake_rejects import rejects
from galaxy_notify.cli.output import count, echo_json, echo_table
from galaxy_notify.cli.screen import bad
from galaxy_notify.model.wording import duration
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
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


command.add_command(rejects)


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
