"""``status``: what waits, what is late, who works and who reads, once or again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

import click

from galaxy_notify.cli.context import Application, json_option, pass_application
from galaxy_notify.cli.ending import Exit, is_misconfigured, told_unavailable
from galaxy_notify.cli.output import bad, echo, echo_json
from galaxy_notify.errors import ConfigurationError, GalaxyNotifyError

_EVERY_S: Final = 2.0
_CLEAR: Final = "\033[H\033[2J\033[3J"


@click.command("status")
@click.option("--watch", is_flag=True, help="Show it again every 2 seconds, until Ctrl-C.")
@json_option
@pass_application
def command(app: Application, watch: bool, as_json: bool) -> int:
    """Show what waits, what is late, who works and who reads.

    scheduled counts all that wait, leased ones included; due is what could be published now;
    overdue has been due for over a second. Exit code 1 when Redis is away.
    """
    if not watch:
        _show(app, as_json=as_json)
        return Exit.OK
    _watch(lambda: _show(app, as_json=as_json), clear=not as_json and sys.stdout.isatty())
    return Exit.OK


def _show(app: Application, *, as_json: bool) -> None:
    from galaxy_notify.operations.status import read_status

    with app.open() as place:
        status = read_status(place)
    if as_json:
        echo_json(status.as_json())
        return
    from galaxy_notify.cli.status_view import lines

    echo("\n".join(lines(status)))


def _watch(show: Callable[[], None], *, clear: bool) -> None:
    while True:
        if clear:
            click.echo(_CLEAR, nl=False)
        try:
            show()
        except GalaxyNotifyError as error:
            if isinstance(error, ConfigurationError) or is_misconfigured(error):
                raise
            click.echo(bad(told_unavailable(error)), err=not clear)
        time.sleep(_EVERY_S)
