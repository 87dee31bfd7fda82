"""``demo``: the main job from end to end, on a real server of its own."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from galaxy_notify.cli.context import listing
from galaxy_notify.cli.output import echo, good, strong
from galaxy_notify.errors import Unavailable
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.embedded.server import EmbeddedServer

# Its daemons and its server have bounds of their own, which it waits for.
_PATIENCE_S: Final = 60.0


@click.command()
@listing
def command() -> None:
    """Show everything once, on a server of its own: accept, publish, retry, dead letter, replay.

    Nothing outside a temporary directory is touched. Takes about ten seconds; Ctrl-C ends it and
    leaves nothing.
    """
    SIGNALS.go_on()
    from galaxy_notify.cli.demo_stage import Stage
    from galaxy_notify.cli.demo_story import tell
    from galaxy_notify.embedded.server import EmbeddedServer
    from galaxy_notify.telemetry.logs import configure_logs

    # The story tells what happens; what is logged beside it would only disturb.
    configure_logs("error")
    SIGNALS.last_resort.patience_s = _PATIENCE_S
    with tempfile.TemporaryDirectory(prefix="gn-demo-") as folder:
        SIGNALS.at_once.append(lambda: shutil.rmtree(folder, ignore_errors=True))
        server = EmbeddedServer(Path(folder) / "server")
        SIGNALS.at_once.append(server.abandon)
        try:
            url = _started(server)
            with Stage(Path(folder), url, os.environ) as stage:
                server_name = stage.server_name()
                echo(strong(f"galaxy-notify demo, on a real {server_name} started for it"))
                tell(stage)
        finally:
            server.stop()
    echo()
    echo(good("Everything above happened on a real server, which has been stopped and removed."))
    program = sys.argv[0] if sys.argv[0].endswith("galaxy-notify") else "galaxy-notify"
    echo(f"Next: {_near(program)} --embedded run, and the README for the rest.")


def _started(server: EmbeddedServer) -> str:
    try:
        return server.start()
    except Unavailable:
        SIGNALS.go_on()
        raise


def _near(program: str) -> str:
    """Return the program as one would type it here."""
    here = Path.cwd()
    path = Path(program)
    return (
        str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else program
    )
