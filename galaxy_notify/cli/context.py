"""What a command works with: the settings, the connection, and who asks."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

import click

from galaxy_notify.cli.standard_streams import RESULTS
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.redis_state.deployment import Deployment
    from galaxy_notify.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

_NAME_LENGTH: Final = 64


@dataclass
class Application:
    """The options before the command: which settings file, and whether embedded."""

    config: str | None = None
    embedded: bool = False

    @cached_property
    def settings(self) -> Settings:
        """Load the settings; raise ``ConfigurationError`` naming everything wrong with them."""
        from galaxy_notify.settings import load_settings

        return load_settings(self.config, embedded=self.embedded)

    def open(self) -> AbstractContextManager[Deployment]:
        """Connect to the deployment; raise ``Unavailable`` or ``RedisFault`` without Redis."""
        from galaxy_notify.redis_state.deployment import connect

        return closing(connect(self.settings))


#: For a command that decides itself when it ends: signals are kept until it asks for them.
pass_uninterrupted = click.make_pass_decorator(Application)


def interruptible(command: Callable[P, R]) -> Callable[P, R]:
    """Let a signal interrupt the command wherever it is."""

    @wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> R:
        SIGNALS.interrupt()
        return command(*args, **options)

    return run


def pass_application(command: Callable[Concatenate[Application, P], R]) -> Callable[P, R]:
    """Hand the application to a command that a signal may interrupt."""
    return pass_uninterrupted(interruptible(command))


def listing(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command end, with exit code 0, where its output has no reader any more.

    Without this a command goes on to its end, and its exit code is the one that it has anyhow.
    """

    @wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> R:
        RESULTS.is_listing = True
        return command(*args, **options)

    return run


#: ``--json``, the same on every command.
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def with_json(command: Callable[Concatenate[Application, P], R]) -> Callable[P, R]:
    """Hand over the application, as `pass_application` does, and ``--json`` as ``as_json``."""
    return json_option(pass_application(command))


#: ``--json`` of a command that prints nothing else, so that programs may always give it.
only_json_option = click.option(
    "--json", is_flag=True, expose_value=False, help="Print JSON lines (the only format)."
)


def actor() -> str:
    """Return ``cli:<user>@<host>``, which the history of a route names, in printable ASCII."""
    # Not the environment's word for the user: this goes into an audit.
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"cli:{_clean(user)}@{_clean(socket.gethostname())}"


def _clean(name: str) -> str:
    shown = "".join(c for c in name if c.isascii() and c.isprintable())
    return shown[:_NAME_LENGTH].strip() or "unknown"
