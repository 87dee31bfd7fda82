"""``run``: the daemon."""

from __future__ import annotations

import faulthandler
import os
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from galaxy_notify import __version__
from galaxy_notify.cli.context import Application, pass_uninterrupted
from galaxy_notify.cli.output import note
from galaxy_notify.cli.own_postgres import OwnPostgres
from galaxy_notify.errors import Unavailable
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.embedded.server import EmbeddedServer
    from galaxy_notify.settings import Settings


@click.command()
@pass_uninterrupted
def command(application: Application) -> None:
    """Run the daemon, which publishes due notifications.

    Starts immediately, even while Redis is away. SIGTERM or SIGINT drains and stops it with exit
    code 0, a second one stops it immediately. SIGHUP reloads the settings.
    """
    from galaxy_notify.telemetry.logs import configure_logs

    SIGNALS.reload_on_hangup()
    settings = application.settings
    if SIGNALS.end_signal:
        return
    # A watchdog that fires ends the process with SIGABRT: then the stacks are worth having.
    faulthandler.enable()
    configure_logs(settings.log.level, settings.log.format)
    with OwnPostgres(settings, wanted=settings.feed.enabled) as postgres:
        if postgres.start(watch=True):
            _run(application, settings, lingers=postgres.is_used)


def _run(application: Application, settings: Settings, *, lingers: bool) -> None:
    """Serve, on a Redis of our own where the settings say so."""
    if settings.redis.url != "embedded":
        _serve(application, settings, None, lingers=lingers)
        return
    from galaxy_notify.embedded.server import EmbeddedServer
    from galaxy_notify.embedded.state_dir import resolve_state_dir

    state_dir = resolve_state_dir(str(settings.redis.state_dir or ""), os.environ)
    server = EmbeddedServer(state_dir)
    SIGNALS.cleanups.append(server.abandon)
    try:
        if _started(server, application):
            _serve(application, settings, server.start, lingers=True)
    finally:
        server.stop()


def _serve(
    application: Application,
    settings: Settings,
    revive: Callable[[], object] | None,
    *,
    lingers: bool,
) -> None:
    from galaxy_notify.cli.service import serve
    from galaxy_notify.daemon import Daemon
    from galaxy_notify.settings import load_settings
    from galaxy_notify.telemetry.export import start_telemetry
    from galaxy_notify.telemetry.logs import get_logger

    def read_settings() -> Settings:
        return load_settings(application.config, embedded=application.embedded)

    feed = None
    asks = any(settings.channels[name].unless_read for name in settings.external_channels)
    if settings.feed.enabled or (asks and settings.feed.url):  # else the start refuses it
        from galaxy_notify.feed.opening import open_store

        feed = open_store(settings)
    telemetry = start_telemetry({"service.name": "galaxy-notify", "service.version": __version__})

    async def main() -> None:
        await Daemon(settings, telemetry, read_settings, revive, feed).run()

    log = get_logger("daemon")
    serve(main, lambda error: log.error("daemon failed", exc_info=error), lingers=lingers)


def _started(server: EmbeddedServer, application: Application) -> bool:
    """Start the server and say where; False when a signal ended the start."""
    try:
        server.start()
    except Unavailable:
        if SIGNALS.end_signal:
            return False
        raise
    found = "Adopted the running" if server.adopted else "Started an"
    options = ["--config", application.config] if application.config else []
    options += ["--embedded"] if application.embedded else []
    hint = shlex.join(["galaxy-notify", *options, "accept"])
    note(f"{found} embedded server in {server.folder}")
    note(f"In a second terminal: {hint} FILE")
    return True
