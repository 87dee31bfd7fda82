"""``feed``: write the feed of each user into Postgres, and look after it."""

from __future__ import annotations

import faulthandler
from typing import TYPE_CHECKING

import click

from galaxy_notify import __version__
from galaxy_notify.cli.context import Application, pass_uninterrupted
from galaxy_notify.cli.feed_care import migrate, reconcile, restored
from galaxy_notify.cli.feed_items import counts, ls, read
from galaxy_notify.cli.own_postgres import OwnPostgres
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings


@click.group("feed", invoke_without_command=True)
@click.pass_context
@pass_uninterrupted
def command(application: Application, context: click.Context) -> None:
    """Write each user's notifications into Postgres.

    Reads the events of feed.channels and adds each once to the feed of its user. Any number of
    writers share the events. Starts immediately, even while Redis or Postgres is away. SIGTERM or
    SIGINT stops it with exit code 0, a second one stops it immediately. SIGHUP reloads the log
    settings.
    """
    if context.invoked_subcommand is None:
        _write(application)


for _subcommand in (migrate, ls, counts, read, reconcile, restored):
    command.add_command(_subcommand)


def _write(application: Application) -> None:
    from galaxy_notify.cli.service import serve
    from galaxy_notify.settings import load_settings
    from galaxy_notify.telemetry.export import start_telemetry
    from galaxy_notify.telemetry.logs import configure_logs, get_logger

    SIGNALS.reload_on_hangup()
    settings = application.settings
    if SIGNALS.end_signal:
        return
    faulthandler.enable()
    configure_logs(settings.log.level, settings.log.format)

    def read_settings() -> Settings:
        return load_settings(application.config, embedded=application.embedded)

    log = get_logger("feed")
    with OwnPostgres(settings) as postgres:
        if not postgres.start(watch=True):
            return
        from galaxy_notify.feed.opening import open_store

        store = open_store(settings)
        about = {"service.name": "galaxy-notify-feed", "service.version": __version__}
        telemetry = start_telemetry(about)

        async def main() -> None:
            from galaxy_notify.feed.process import FeedProcess

            await FeedProcess(settings, store, telemetry, read_settings).run()

        serve(
            main,
            lambda error: log.error("feed failed", exc_info=error),
            lingers=postgres.is_used,
        )


def problems(settings: Settings) -> list[str]:
    """Return what a writer would refuse to start for, where the settings say that there is one."""
    from galaxy_notify.errors import ConfigurationError
    from galaxy_notify.feed.opening import open_store

    if not settings.feed.enabled:
        return []
    try:
        open_store(settings)
    except ConfigurationError as error:
        return [str(error)]
    return []
