"""``status``: what waits, what is late, who works and who reads, once or again and again."""

from __future__ import annotations

import json
import sys
import time
from typing import Final

import click

from galaxy_notify.cli.context import Application, json_option, listing, pass_application
from galaxy_notify.cli.exits import Exit, is_misconfigured, unavailable_message
from galaxy_notify.cli.output import bad, echo
from galaxy_notify.cli.screen import on_screen, redrawn
from galaxy_notify.cli.standard_streams import RESULTS, is_terminal
from galaxy_notify.errors import ConfigurationError, GalaxyNotifyError
from galaxy_notify.signals import SIGNALS

_EVERY_S: Final = 2.0
_CLEAR: Final = "\033[2J"
_HINT: Final = "galaxy-notify status"


@click.command("status")
@click.option("--watch", is_flag=True, help="Show it again every 2 seconds, until Ctrl-C.")
@json_option
@pass_application
@listing
def command(app: Application, watch: bool, as_json: bool) -> int:
    """Show what waits, what is late, who works and who reads.

    scheduled counts all that wait, leased ones included; due is what could be published now;
    overdue has been due for over a second. Exit code 1 when Redis is away.
    """
    if not watch:
        echo(_shown(app, as_json=as_json))
        return Exit.OK
    draws = not as_json and is_terminal(sys.stdout)
    if draws:
        RESULTS.write(_CLEAR, newline=False)
    while True:
        SIGNALS.go_on()
        text = _shown_or_away(app, as_json=as_json)
        if draws:
            shown = on_screen(text.splitlines(), _HINT)
            RESULTS.write("".join(redrawn(shown)), newline=False)
        else:
            echo(text)
        time.sleep(_EVERY_S)


def _shown(app: Application, *, as_json: bool) -> str:
    from galaxy_notify.operations.status import read_status

    with app.open() as place:
        status = read_status(place)
    if as_json:
        return json.dumps(status.as_json(), separators=(",", ":"))
    from galaxy_notify.cli.status_view import lines

    return "\n".join(lines(status))


def _shown_or_away(app: Application, *, as_json: bool) -> str:
    try:
        return _shown(app, as_json=as_json)
    except GalaxyNotifyError as error:
        if isinstance(error, ConfigurationError) or is_misconfigured(error):
            raise
        away = unavailable_message(error)
        return json.dumps({"error": away}) if as_json else bad(away)
