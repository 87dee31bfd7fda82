"""``pause`` and ``resume``: stop publishing one channel, and go on with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from galaxy_notify.cli.context import Application, with_json
from galaxy_notify.cli.output import echo, echo_json

if TYPE_CHECKING:
    from galaxy_notify.redis_state.deployment import Deployment


@click.command("pause")
@click.argument("channel")
@with_json
def command(app: Application, channel: str, as_json: bool) -> None:
    """Stop publishing one channel.

    Its notifications are still accepted, and wait. Routes already claimed by a worker are
    published.
    """
    from galaxy_notify.operations.pausing import pause

    already = _on_all_shards(app, channel, pause)
    if as_json:
        echo_json({"channel": channel, "paused": True, "already": already})
    else:
        resuming = f"resume it with `galaxy-notify resume {channel}`"
        echo(f"{channel} is {'already ' * already}paused; {resuming}")


@click.command("resume")
@click.argument("channel")
@with_json
def resume(app: Application, channel: str, as_json: bool) -> None:
    """Resume publishing a paused channel."""
    from galaxy_notify.operations.pausing import resume as resume_channel

    already = _on_all_shards(app, channel, resume_channel)
    if as_json:
        echo_json({"channel": channel, "paused": False, "already": already})
    else:
        echo(f"{channel} {'was not paused' if already else 'is resumed'}")


def _on_all_shards(app: Application, channel: str, act: Callable[[Deployment, str], bool]) -> bool:
    with app.open() as deployment:
        known = deployment.shared.channels
        if channel not in known:
            raise click.UsageError(f'unknown channel "{channel}" (known: {", ".join(known)})')
        return not act(deployment, channel)
