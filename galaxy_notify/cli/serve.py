"""``serve``: the HTTP API."""

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
    from galaxy_notify.http.server import ApiServer
    from galaxy_notify.settings import Settings

#: What the extra `http` installs that nothing else does.
_EXTRA: Final = frozenset(
    {"fastapi", "httptools", "starlette", "uvicorn", "jwt", "prometheus_client"}
)
_EXPORTER: Final = "opentelemetry.exporter.prometheus"
_INSTALL: Final = "needs more packages: pip install 'galaxy-notify[http]'"


@click.command()
@pass_uninterrupted
def command(application: Application) -> None:
    """Serve the HTTP API.

    Starts immediately, even while Redis is away; it then answers 503. SIGTERM or SIGINT stops it
    with exit code 0 after in-flight requests are answered, a second one stops it immediately.
    http.workers sets the number of processes; the process that was started then only watches them.
    """
    from galaxy_notify.cli.service import serve
    from galaxy_notify.telemetry.logs import configure_logs, get_logger

    settings = application.settings
    if SIGNALS.end_signal:
        return
    faulthandler.enable()
    configure_logs(settings.log.level, settings.log.format)
    log = get_logger("http")
    with OwnPostgres(settings) as postgres:
        if postgres.start(watch=False):  # workers are forked from here
            server = _server(settings)
            serve(
                server.run,
                lambda error: log.error("http failed", exc_info=error),
                lingers=postgres.is_used,
            )


def _server(settings: Settings) -> ApiServer:
    try:
        from galaxy_notify.http.server import open_server
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] not in _EXTRA and missing != _EXPORTER:
            raise
        raise ConfigurationError(f"serve {_INSTALL}") from None
    from galaxy_notify.web.sockets import listen_error

    own = settings.http
    try:
        return open_server(settings)
    except OSError as error:
        text = f"cannot listen on {own.host} port {own.port}: {listen_error(error)}"
        raise click.ClickException(text) from None


def problems(settings: Settings) -> list[str]:
    """Return what `serve` would refuse to start for; nothing where its packages are not there."""
    if any(find_spec(name) is None for name in _EXTRA):
        return []
    from galaxy_notify.http.server import start_problems

    return list(start_problems(settings))
