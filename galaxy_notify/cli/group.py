"""The command itself: its options, and its subcommands, each loaded when it is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NoReturn, cast

import click
from click.exceptions import NoSuchCommand
from click.shell_completion import get_completion_class, shell_complete

from galaxy_notify import __version__
from galaxy_notify.cli.context import Application
from galaxy_notify.cli.exits import Exit, exit_code_of, finish_output
from galaxy_notify.cli.output import echo
from galaxy_notify.cli.standard_streams import RESULTS, take_any_text
from galaxy_notify.signals import SIGNALS

PROGRAM: Final = "galaxy-notify"
COMPLETE_VARIABLE: Final = "_GALAXY_NOTIFY_COMPLETE"

#: Section → command → what it does. A command lives in the module of its name, as ``command``, or
#: under its own name in the module that `_HOMES` says.
COMMANDS: Final[Mapping[str, Mapping[str, str]]] = {
    "Serve": {
        "run": "Run the daemon, which publishes due notifications.",
        "intake": "Read and accept intents from a Redis stream.",
        "serve": "Serve the HTTP API.",
        "gateway": "Serve real-time streams of events to users.",
        "feed": "Write each user's notifications into Postgres.",
        "demo": "Demonstrate everything on a temporary server.",
    },
    "Notify": {
        "accept": "Accept notifications, one JSON object per line.",
        "list": "List accepted notifications, newest first.",
        "show": "Explain one notification: its routes, their history and why they wait.",
        "cancel": "Cancel a notification or one of its routes.",
        "retract": "Take a notification back, also where it was delivered.",
        "reschedule": "Change the due time of a notification or of one of its routes.",
        "prefs": "Show and change users' preferences.",
        "contacts": "Show and change where external channels reach users.",
        "webhooks": "Show, change and test the endpoints of users.",
        "webpush": "Make the keys of channels that send to browsers.",
    },
    "Operate": {
        "status": "Show backlog, late routes, workers and consumer groups.",
        "health": "Check that the deployment works, for probes and alarms.",
        "dead": "Show, export, replay or purge dead letters.",
        "stream": "Read the gateway stream and manage its consumer groups.",
        "presence": "Show which users are connected, and to which gateway.",
        "users": "Show or delete what is kept of a user.",
        "channels": "Show the channels, and try out an external one.",
        "pause": "Stop publishing one channel.",
        "resume": "Resume publishing a paused channel.",
    },
    "Check": {
        "doctor": "Find risks to the guarantees and suggest fixes.",
        "fsck": "Compare every index with the routes and repair it.",
        "bench": "Measure this server under a temporary prefix.",
        "config": "Show and check the settings.",
        "completion": "Print the shell completion script.",
    },
}
_HOMES: Final = {
    "cancel": "changes",
    "completion": "group",
    "reschedule": "changes",
    "resume": "pause",
}
_NAMES: Final = [name for section in COMMANDS.values() for name in section]


class Cli(click.Group):
    """A group that loads a subcommand when it is needed, and ends the process in our ways."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands, in the order of the help."""
        return _NAMES

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in _NAMES:
            return None
        module = import_module(f"galaxy_notify.cli.{_HOMES.get(cmd_name, cmd_name)}")
        name = cmd_name if cmd_name in _HOMES else "command"
        return cast("click.Command", getattr(module, name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named; for an unknown one suggest similar names."""
        name = args[0]
        if not name.startswith("-") and name not in _NAMES:
            raise NoSuchCommand(name, possibilities=_NAMES, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section, loading none of them."""
        width = max(len(name) for name in _NAMES)
        for section, commands in COMMANDS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> NoReturn:
        """Run, and exit with the code that the command returns or that its error means."""
        given = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in given
        RESULTS.begin()
        take_any_text()
        try:
            try:
                code = self._run(given)
            finally:
                SIGNALS.hold()  # the end is not interrupted
            code = finish_output(code)
        except BaseException as error:
            code = finish_output(exit_code_of(error, debug=debug))
        sys.exit(code)

    def _run(self, arguments: list[str]) -> int:
        # Not click's own main: it ends a command whose reader has left with exit code 1.
        if instruction := os.environ.get(COMPLETE_VARIABLE):
            return shell_complete(self, {}, PROGRAM, COMPLETE_VARIABLE, instruction)
        with self.make_context(PROGRAM, arguments) as ctx:
            code = self.invoke(ctx)
        return code if isinstance(code, int) else Exit.OK


@click.group(
    cls=Cli,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="galaxy-notify %(version)s")
@click.option("--config", metavar="FILE", help="Settings file to read.")
@click.option(
    "--embedded", is_flag=True, help="Use the embedded server that `run --embedded` starts."
)
@click.option("--debug", is_flag=True, help="Show the traceback of an internal error.")
@click.pass_context
def cli(ctx: click.Context, config: str | None, embedded: bool, debug: bool) -> None:
    """Deliver notifications through Redis to the gateway stream.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing matched, 4 partly done,
    78 bad configuration.
    """
    del debug  # read from the arguments, where an error finds it
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False
    ctx.obj = Application(config, embedded)


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell completion script.

    For bash, put this into ~/.bashrc:  eval "$(galaxy-notify completion bash)"
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"no completion for {shell}")
    echo(script(cli, {}, PROGRAM, COMPLETE_VARIABLE).source())
