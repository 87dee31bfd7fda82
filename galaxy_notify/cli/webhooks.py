"""``webhooks``: the endpoints of users, to which signed requests are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from galaxy_notify.cli.context import Application, actor, listing, with_json
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.feed_access import run as run_loop
from galaxy_notify.cli.jsonl import opened as opened_file
from galaxy_notify.cli.output import echo, echo_json, note
from galaxy_notify.cli.prompts import Progress
from galaxy_notify.cli.screen import strong
from galaxy_notify.cli.selection import checked_moment
from galaxy_notify.cli.users import user_argument
from galaxy_notify.cli.webhooks_access import (
    Named,
    endpoints_of,
    one_endpoint,
    opened,
    trials_of,
)
from galaxy_notify.cli.webhooks_view import (
    echo_attempt,
    echo_endpoint,
    echo_secret,
    echo_trial,
    report_replay,
)

if TYPE_CHECKING:
    from galaxy_notify.channels.webhook_endpoint import WebhookEndpoint
    from galaxy_notify.channels.webhook_trials import Trial

_LONGEST: Final = 16_384
_channel_option = click.option(
    "--channel", metavar="NAME", default="", help="Of this channel, where several are webhooks."
)


@click.group("webhooks")
def command() -> None:
    """Show, change and test the endpoints of users.

    Channels of kind webhook send to them. An id that `webhooks add` made names its user. See
    docs/webhooks.md.
    """


@command.command("ls")
@user_argument
@with_json
def ls(app: Application, user: str, as_json: bool) -> None:
    """List a user's endpoints, without their secrets."""
    with opened(app) as found:
        shown = found.run(found.endpoints.of(found.key_space, user)).documents()
    if not as_json:
        echo(strong(user) + ("" if shown else "  no endpoints"))
    for one in shown:
        if as_json:
            echo_json(one)
        else:
            echo_endpoint(one)


@command.command("add")
@user_argument
@click.argument("url")
@click.option("--type", "types", multiple=True, help="Only this type, or game.*; may be repeated.")
@click.option(
    "--headers", metavar="FILE|-", help="JSON object of X-… and Authorization headers to send."
)
@_channel_option
@with_json
def add(app: Application, /, user: str, url: str, headers: str | None, **options: Any) -> None:
    """Add an endpoint and print its secret, which is not shown again.

    The name in the URL is looked up. Exit code 1 if the URL is not allowed, with the reason.
    """
    endpoints = endpoints_of(app)
    from galaxy_notify.channels.webhook_endpoint import NewEndpoint

    as_json = options.pop("as_json")
    options["channel"] = endpoints.channel(options["channel"] or None)
    own: Any = _read_json(headers) if headers else {}
    wanted = NewEndpoint(user, url, headers=own, **options)

    async def check() -> str:
        async with trials_of(app) as trials:
            return await trials.check(wanted.channel, url)

    doubt = run_loop(check())
    with opened(app) as found:
        added = found.run(endpoints.add(found.key_space, wanted))
    _echo_new(added, as_json=as_json)
    if doubt:
        note(f"added, but {doubt}")


@command.command("rotate")
@with_json
@one_endpoint
@click.option("--at-once", is_flag=True, help="Do not sign with the old secret any more.")
def rotate(app: Application, name: Named, as_json: bool, at_once: bool) -> int:
    """Give an endpoint a new secret and print it; it is not shown again.

    For 24 hours requests are signed with the old secret as well.
    """
    with opened(app) as found:
        flow = found.endpoints.rotate(found.key_space, *name, at_once=at_once)
        rotated = found.run(flow)
    if rotated is None:
        return name.unknown()
    _echo_new(rotated, as_json=as_json)
    return Exit.OK


@command.command("enable")
@with_json
@one_endpoint
def enable(app: Application, name: Named, as_json: bool) -> int:
    """Send to an endpoint again."""
    with opened(app) as found:
        enabled = found.run(found.endpoints.enable(found.key_space, *name))
    return _changed(name, enabled, as_json=as_json)


@command.command("disable")
@with_json
@one_endpoint
def disable(app: Application, name: Named, as_json: bool) -> int:
    """Send nothing more to an endpoint until it is enabled."""
    with opened(app) as found:
        disabled = found.run(found.endpoints.disable(found.key_space, *name))
    return _changed(name, disabled, as_json=as_json)


@command.command("attempts")
@with_json
@one_endpoint
@click.option("--limit", type=click.IntRange(1, 50), default=50, help="Maximum number; 50.")
@listing
def attempts(app: Application, name: Named, as_json: bool, limit: int) -> int:
    """List the last attempts at an endpoint, newest first.

    50 are kept, for 7 days after the last one.
    """
    with opened(app) as found:
        listed = found.run(found.endpoints.attempts(found.key_space, *name, limit=limit))
    if listed is None:
        return name.unknown()
    if not (listed or as_json):
        note("no attempts")
    for one in listed:
        if as_json:
            echo_json(one.as_json())
        else:
            echo_attempt(one.as_json())
    return Exit.OK


@command.command("test")
@with_json
@one_endpoint
def test(app: Application, name: Named, as_json: bool) -> int:
    """Send a test event to an endpoint, from here, and print what it answers.

    It is signed as any event, and sent also where the endpoint is disabled. Exit code 1 if it was
    not delivered.
    """
    with opened(app) as found:
        endpoint = found.run(found.endpoints.find(found.key_space, *name))
        if endpoint is None:
            return name.unknown()
        key_space = found.key_space

    async def send() -> Trial:
        async with trials_of(app) as trials:
            return await trials.test(key_space, endpoint)

    trial = run_loop(send())
    if as_json:
        echo_json(trial.document())
    else:
        echo_trial(trial.document())
    return Exit.OK if trial.is_delivered else Exit.FAILED


@command.command("replay")
@with_json
@one_endpoint
@click.option(
    "--since",
    required=True,
    metavar="TIME",
    callback=checked_moment,
    help="Ended at or after this time: RFC 3339, epoch ms, or an age (15m, 2h, 3d).",
)
@click.option(
    "--may-repeat",
    is_flag=True,
    help="Also replay dead letters that may have been sent (class delivery_unknown).",
)
def replay(app: Application, name: Named, as_json: bool, since: str, may_repeat: bool) -> int:
    """Send an endpoint again what ended since a moment.

    Dead letters of its user and channel are replayed: workers send them. What was delivered or
    skipped, and is still kept, is sent from here, with the ids that it had. What cannot be found
    any more is counted. Safe to run again: the receiver knows the ids.
    """
    from galaxy_notify.channels.kinds import installed
    from galaxy_notify.cli.selection import span_ms
    from galaxy_notify.operations.dead_moves import Run
    from galaxy_notify.redis_state.deployment import server_now

    with opened(app) as found:
        with installed():
            from galaxy_notify.channels.webhook_replay import EndpointReplay
        endpoint = found.run(found.endpoints.find(found.key_space, *name))
        if endpoint is None:
            return name.unknown()
        since_ms, _ = span_ms(since, None, server_now(found.deployment))
        replaying = EndpointReplay(found.deployment, endpoint, since_ms or 0)
        run = Run(actor(), may_repeat=may_repeat)

        async def send() -> None:
            with Progress("sent") as progress:
                async with trials_of(app) as trials:
                    await replaying.run(trials, run, progress.reach)

        run_loop(send())
    return report_replay(replaying.outcome, as_json=as_json)


def _changed(name: Named, found: WebhookEndpoint | None, *, as_json: bool) -> int:
    if found is None:
        return name.unknown()
    if as_json:
        echo_json(found.document())
    else:
        echo(strong(name.user))
        echo_endpoint(found.document())
    return Exit.OK


def _echo_new(found: WebhookEndpoint, *, as_json: bool) -> None:
    """Print an endpoint with its new secret."""
    document = found.document()
    if as_json:
        echo_json(document)
        return
    echo(strong(found.user))
    echo_endpoint(document)
    echo_secret(document)


def _read_json(file: str) -> object:
    """Return the JSON in a file, or on standard input for ``-``."""
    from galaxy_notify.model.json_text import parse_json

    with opened_file(file, "headers") as stream:
        try:
            raw = stream.read(_LONGEST)
        except OSError as error:
            raise click.FileError(file, error.strerror or str(error)) from None
    return parse_json(raw, "the input")
