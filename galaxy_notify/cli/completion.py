"""``completion``: the script that teaches a shell to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from galaxy_notify.cli.output import echo


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the shell completion script.

    For bash, put this into ~/.bashrc:  eval "$(galaxy-notify completion bash)"
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"no completion for {shell}")
    root = ctx.find_root().command
    echo(script(root, {}, "galaxy-notify", "_GALAXY_NOTIFY_COMPLETE").source())
