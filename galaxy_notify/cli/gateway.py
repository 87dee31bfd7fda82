"""``gateway``: the real-time streams of users."""

from __future__ import annotations

import faulthandler
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import click

from galaxy_notify.cli.context import Application, pass_uninterrupted
from galaxy_notify.cli.own_postgres import OwnPostgres
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.realtime.process import GatewayProcess
    from galaxy_notify.settings import Settings

#: What the extra `gateway` installs that the core lacks.
_EXTRA: Final = frozenset({"httptools", "uvicorn", "jwt", "prometheus_client", "websockets"})
_EXPORTER: Final = "opentelemetry.exporter.prometheus"
_INSTALL: Final = "gateway needs more packages: pip install 'galaxy-notify[gateway]'"


@click.command()
@pass_uninterrupted
def command(application: Application) -> None:
    """Serve real-time streams of events to users.

    Delivers what the daemons publish to the browsers of its users, also over several processes.
    Starts immediately, even while Redis is away. SIGTERM or SIGINT ends the streams over
    realtime.drain_ms and exits with code 0, a second one stops it immediately. SIGHUP reloads keys
    and origins.
    """
    from galaxy_notify.cli.service import serve
    from galaxy_notify.telemetry.logs import configure_logs, get_logger

    SIGNALS.reload_on_hangup()
    settings = application.settings
    if SIGNALS.end_signal:
        return
    faulthandler.enable()
    configure_logs(settings.log.level, settings.log.format)
    log = get_logger("realtime")
    with OwnPostgres(settings) as postgres:
        if postgres.start(watch=True):
            process = _process(application, settings)
            serve(
                process.run,
                lambda error: log.error("gateway failed", exc_info=error),
                lingers=postgres.is_used,
            )


def _process(application: Application, settings: Settings) -> GatewayProcess:
    from galaxy_notify.settings import load_settings

    def read_settings() -> Settings:
        return load_settings(application.config, embedded=application.embedded)

    try:
        from galaxy_notify.realtime.process import open_gateway
        from galaxy_notify.web.sockets import listen_error
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] not in _EXTRA and missing != _EXPORTER:
            raise
        raise ConfigurationError(_INSTALL) from None
    own = settings.realtime
    try:
        return open_gateway(settings, read_settings)
    except OSError as error:
        text = f"cannot listen on {own.host} port {own.port}: {listen_error(error)}"
        raise click.ClickException(text) from None


def problems(settings: Settings) -> list[str]:
    """Return what `gateway` would refuse to start for, where its settings say that it is used."""
    if not settings.realtime.takes_jwt or any(find_spec(name) is None for name in _EXTRA):
        return []
    from galaxy_notify.realtime.process import start_problems

    return list(start_problems(settings))
