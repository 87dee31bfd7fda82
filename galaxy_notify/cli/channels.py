"""``channels``: which there are, how they are set, and whether an external one reaches a user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify.cli.channels_view import (
    channel_document,
    echo_channel,
    echo_channels,
    echo_tried,
)
from galaxy_notify.cli.context import Application, with_json
from galaxy_notify.cli.exits import Exit, print_error
from galaxy_notify.cli.output import echo_json
from galaxy_notify.cli.users import user_argument
from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.model.ids import NAME

if TYPE_CHECKING:
    from galaxy_notify.channels.trial import Tried
    from galaxy_notify.redis_inspect.inspector import ChannelBacklog
    from galaxy_notify.redis_state.deployment import Deployment
    from galaxy_notify.settings import Settings

_TYPE: Final = "galaxy-notify.test"


def _type(_: click.Context, __: click.Parameter, value: str) -> str:
    if not re.fullmatch(NAME, value):
        raise click.BadParameter(f"must match {NAME}")
    return value


@click.group("channels")
def command() -> None:
    """Show the channels, and try out an external one.

    An external channel has a section channels.NAME in the settings. See docs/channels.md.
    """


@command.command("ls")
@with_json
def ls(app: Application, as_json: bool) -> None:
    """List the channels of the deployment with their kinds and what waits in them.

    The kinds are those of the settings that this command reads.
    """
    with app.open() as deployment:
        found = _backlogs(deployment, deployment.shared.channels)
    documents = [channel_document(name, one, app.settings) for name, one in found.items()]
    if as_json:
        for document in documents:
            echo_json(document)
    else:
        echo_channels(documents)


@command.command("show")
@click.argument("name")
@with_json
def show(app: Application, name: str, as_json: bool) -> int:
    """Show one channel: its kind, what waits in it, its settings, and problems with them.

    Problems are what a daemon that serves it would refuse to start for. Exit code 3 for an unknown
    channel.
    """
    with app.open() as deployment:
        known = deployment.shared.channels
        found = _backlogs(deployment, [name]) if name in known else {}
    if not found:
        print_error(_unknown(name, known))
        return Exit.NOTHING
    document = channel_document(name, found[name], app.settings)
    document["settings"] = app.settings.masked().get(f"channels.{name}")
    document["problems"] = _problems(app.settings, name)
    if as_json:
        echo_json(document)
    else:
        echo_channel(document)
    return Exit.OK


@command.command("test")
@click.argument("name")
@user_argument
@click.option(
    "--type",
    "type_",
    default=_TYPE,
    show_default=True,
    callback=_type,
    help="Type of the message, for contacts that want certain types only.",
)
@with_json
def test(app: Application, name: str, user: str, type_: str, as_json: bool) -> int:
    """Send a test message to every address that a user has of an external channel.

    It is sent immediately and once, by this process, whether the channel is paused or not; it is no
    notification, so nothing else shows it. Exit codes: 0 delivered, 4 to some addresses only,
    1 to no address, 3 unknown channel, or no address to send to.
    """
    import asyncio

    from galaxy_notify.channels.kinds import installed
    from galaxy_notify.telemetry.logs import configure_logs

    settings = app.settings
    with app.open() as deployment:
        if name not in settings.channels or name not in deployment.shared.channels:
            known = [one for one in deployment.shared.channels if one in settings.channels]
            print_error(_unknown(name, known, "external channel"))
            return Exit.NOTHING
        key_space = deployment.key_space
    with installed():
        from galaxy_notify.channels.trial import trial_event, try_channel

    configure_logs(settings.log.level, settings.log.format)
    event = trial_event(name, user, type_)
    try:
        tried = asyncio.run(try_channel(name, event, user, settings, key_space))
    except Unavailable as error:  # of a lookup of one's own; Redis raises other errors
        print_error(str(error))
        return Exit.FAILED
    document: dict[str, Any] = {"channel": name, "kind": settings.channels[name].kind, "user": user}
    document |= {"event_id": event.event_id, "type": event.type}
    document["addresses"] = [one.as_json() for one in tried]
    if as_json:
        echo_json(document)
    else:
        echo_tried(document)
    return _exit_code(tried)


def _exit_code(tried: Sequence[Tried]) -> Exit:
    sent = [one.is_delivered for one in tried if one.attempt]
    if not sent:
        return Exit.NOTHING
    if all(sent):
        return Exit.OK
    return Exit.PARTLY if any(sent) else Exit.FAILED


def _backlogs(deployment: Deployment, names: Sequence[str]) -> dict[str, ChannelBacklog]:
    from galaxy_notify.redis_inspect.inspector import read_backlogs
    from galaxy_notify.redis_state.deployment import server_now

    return read_backlogs(deployment, names, server_now(deployment))


def _unknown(name: str, known: Sequence[str], what: str = "channel") -> str:
    return f'unknown {what} "{name}" (known: {", ".join(known) or "none"})'


def _problems(settings: Settings, name: str) -> list[str]:
    from galaxy_notify.operations.starting import check_channels

    worker = settings.worker.model_copy(update={"serves": (name,)})
    try:
        check_channels(settings.model_copy(update={"worker": worker}))
    except ConfigurationError as error:
        return str(error).splitlines()
    return []
