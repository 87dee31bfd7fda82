"""``health``: whether everything moves, as an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from galaxy_notify.cli.context import Application, with_json
from galaxy_notify.cli.exits import Exit, is_misconfigured, unavailable_message
from galaxy_notify.cli.output import echo, echo_json, plural
from galaxy_notify.cli.screen import bad, good, printable, warn, wrapped
from galaxy_notify.errors import ConfigurationError, GalaxyNotifyError

if TYPE_CHECKING:
    from galaxy_notify.operations.health import Health


@click.command("health")
@with_json
def command(app: Application, as_json: bool) -> int:
    """Check that the deployment works, for probes and alarms.

    Exit code 0 if a test write succeeds, a worker made progress within 30 seconds and no route is
    overdue by more than 60 seconds; else 1, with the reason. Early signs, such as a paused channel
    or a full stream, are warnings (exit code 0).
    """
    health = _checked(app)
    if as_json:
        echo_json(health.as_json())
    else:
        echo("\n".join(wrapped(_line(health), indent="  ")))
    return Exit.OK if health.ok else Exit.FAILED


def _line(health: Health) -> str:
    causes = printable("; ".join((*health.reasons, *health.warnings)))
    if not health.ok:
        return f"{bad('unhealthy')}: {causes}"
    works = f"a write took {health.write_ms:.1f} ms, {plural(health.workers or 0, 'worker')} alive"
    if health.warnings:
        return f"{warn('warning')}: {causes} ({works})"
    return f"{good('healthy')}: {works}"


def _checked(app: Application) -> Health:
    from galaxy_notify.operations.health import Health, check_health

    try:
        with app.open() as deployment:
            return check_health(deployment, has_feed=bool(app.settings.feed.url))
    except GalaxyNotifyError as error:
        if isinstance(error, ConfigurationError) or is_misconfigured(error):
            raise
        return Health(None, None, (unavailable_message(error),))
