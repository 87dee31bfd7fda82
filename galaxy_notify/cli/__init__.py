"""The command ``galaxy-notify``: one file per noun, each parses, calls and prints."""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process, and end it with the command's exit code."""
    from galaxy_notify.signals import SIGNALS

    SIGNALS.start()  # before all that takes time
    from galaxy_notify.cli.standard_streams import open_closed_streams

    open_closed_streams()
    from galaxy_notify.cli.group import cli

    cli()
