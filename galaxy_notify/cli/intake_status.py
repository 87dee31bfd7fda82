"""``intake status``: how the intent stream stands."""

from __future__ import annotations

import click

from galaxy_notify.cli.context import Application, json_option, pass_application
from galaxy_notify.cli.output import bad, count, duration, echo, echo_json, table

_HEAD = ("stream", "group", "unread", "pending", "oldest", "rejects")


@click.command("status")
@json_option
@pass_application
def status(app: Application, as_json: bool) -> None:
    """Show how the intent stream stands.

    What no reader was given yet, what is in hand, the age of the oldest of both, and the rejects.
    """
    from galaxy_notify.redis_inspect.rejects import read_state
    from galaxy_notify.redis_state.keys import IntentKeys

    own = app.settings.intake
    with app.open() as place:
        state = read_state(place, IntentKeys(own.stream), own.group)
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
    rejects = bad(count(state.rejects)) if state.rejects else 0
    row = (own.stream, own.group, state.unread, state.pending, oldest, rejects)
    for line in table(_HEAD, [row]):
        echo(line)
