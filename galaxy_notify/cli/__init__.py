"""The command ``galaxy-notify``: one file per noun, each parses, calls and prints."""

from __future__ import annotations

import gc

#: More objects than loading makes: what is loaded stays, and looking through it for garbage again
#: and again took a seventh of a short command. What serves goes back to the usual number.
_OBJECTS = 200_000


def main() -> None:
    """Run the command line of this process, and end it with the command's exit code."""
    from galaxy_notify.signals import SIGNALS

    SIGNALS.start()  # before all that takes time
    gc.set_threshold(_OBJECTS)
    from galaxy_notify.cli.standard_streams import open_closed_streams

    open_closed_streams()
    from galaxy_notify.cli.group import cli

    cli()
