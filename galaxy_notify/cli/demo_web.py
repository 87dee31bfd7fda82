"""``demo --web``: the stage, in a temporary folder."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from galaxy_notify.cli.output import echo, note
from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.web.sockets import Listener

_HOST: Final = "127.0.0.1"
_USUAL_PORT: Final = 8088
#: What the extras install that the core lacks.
_EXTRAS: Final = ("aiosmtplib", "cryptography", "jinja2", "jwt", "psycopg", "uvicorn", "websockets")
_INSTALL: Final = (
    "demo --web needs more packages: pip install 'galaxy-notify[channels,embedded,feed,gateway]'"
)


def run(port: int | None) -> None:
    """Play until a signal; raise `ConfigurationError` and `Unavailable`."""
    if any(find_spec(name) is None for name in _EXTRAS):
        raise ConfigurationError(_INSTALL)
    note("Starting Redis, Postgres, a worker and two gateways …")
    from galaxy_notify.stage.process import play

    stage = _listen(port)
    with tempfile.TemporaryDirectory(prefix="gn-demo-", ignore_cleanup_errors=True) as folder:
        SIGNALS.cleanups.append(lambda: shutil.rmtree(folder, ignore_errors=True))
        try:
            asyncio.run(play(Path(folder), os.environ, stage, _tell))
        except Unavailable:
            if not SIGNALS.end_signal:
                raise


def _listen(port: int | None) -> Listener:
    """Listen on a port, or on the usual one, or on another one where that is taken."""
    from galaxy_notify.web.sockets import listen, listen_error

    wanted = _USUAL_PORT if port is None else port
    try:
        return listen(_HOST, wanted)[0]
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return listen(_HOST, 0)[0]
        text = f"cannot listen on {_HOST} port {wanted}: {listen_error(error)}"
        raise click.ClickException(text) from None


def _tell(url: str) -> None:
    echo(url)
    note("Open it in a browser. Ctrl-C ends everything and leaves nothing.")
