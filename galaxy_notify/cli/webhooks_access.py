"""How the commands of webhooks reach the endpoints of users."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from galaxy_notify.cli.context import Application
from galaxy_notify.cli.exits import Exit
from galaxy_notify.cli.output import note
from galaxy_notify.cli.screen import printable

if TYPE_CHECKING:
    from galaxy_notify.channels.webhook_endpoints import WebhookEndpoints
    from galaxy_notify.channels.webhook_trials import WebhookTrials
    from galaxy_notify.redis_client.flows import Flow
    from galaxy_notify.redis_state.deployment import Deployment
    from galaxy_notify.redis_state.shared_settings import KeySpace

T = TypeVar("T")
Command = Callable[..., Any]


def trials_of(app: Application) -> WebhookTrials:
    """Return what tries endpoints from here; raise `ConfigurationError` without the extra."""
    from galaxy_notify.channels.kinds import installed
    from galaxy_notify.telemetry.logs import configure_logs

    with installed():
        from galaxy_notify.channels.webhook_trials import WebhookTrials

    configure_logs(app.settings.log.level, app.settings.log.format)
    return WebhookTrials(app.settings)


class Opened(NamedTuple):
    """A deployment, and the endpoints of its users."""

    deployment: Deployment
    endpoints: WebhookEndpoints

    @property
    def key_space(self) -> KeySpace:
        """Where everything of the deployment lies."""
        return self.deployment.key_space

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end."""
        from galaxy_notify.redis_client.flows import run_flow_sync

        return run_flow_sync(self.deployment.client, flow)


@contextmanager
def opened(app: Application) -> Iterator[Opened]:
    """Connect; raise `ConfigurationError` where this deployment has no endpoints."""
    endpoints = endpoints_of(app)
    with app.open() as deployment:
        yield Opened(deployment, endpoints)


def endpoints_of(app: Application) -> WebhookEndpoints:
    """Return the endpoints of all users; nothing is sent."""
    from galaxy_notify.contacts.opening import open_book

    open_book(app.settings)  # says what is missing, before the module that needs it is loaded
    from galaxy_notify.channels.webhook_endpoints import WebhookEndpoints

    return WebhookEndpoints(app.settings)


def one_endpoint(command: Command) -> Command:
    """Add the id of an endpoint to a command, which gets it with its user as ``name``."""

    @click.argument("endpoint_id", metavar="ID")
    @click.option("--user", metavar="USER", help="Whose it is, where its id does not say it.")
    @wraps(command)
    def run(app: Application, endpoint_id: str, user: str | None, **options: Any) -> Any:
        endpoints_of(app)
        from galaxy_notify.channels.webhook_endpoint import user_of

        named = user or user_of(endpoint_id)
        if not named:
            raise click.UsageError("this id does not name its user: give --user")
        return command(app, Named(named, endpoint_id), **options)

    return run


class Named(NamedTuple):
    """The id of an endpoint, and whose it is."""

    user: str
    id: str

    def unknown(self) -> int:
        """Say that there is no such endpoint; return the exit code."""
        note(printable(f"no endpoint of {self.user}: {self.id}"))
        return Exit.NOTHING
