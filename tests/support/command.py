"""The command line in a test: inside this process, or as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner, Result

from galaxy_notify.cli.group import cli
from tests.support.patience import patient
from tests.support.servers import Server

# Nobody listens there, and nobody may.
NOWHERE = "redis://127.0.0.1:1/0"


class CommandLine:
    """The command line as an operator of one deployment has it."""

    def __init__(self, url: str, settings: Mapping[str, str] | None = None) -> None:
        """Name the server; further settings are ``{"WORKER__SHARDS": "4"}``."""
        named = {"REDIS__URL": url} | dict(settings or {})
        self.environ = {f"GALAXY_NOTIFY_{name}": value for name, value in named.items()}

    def run(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        """Run a command inside this process."""
        return CliRunner().invoke(cli, arguments, input=stdin, env=self.environ)

    def told(self, *arguments: str) -> Any:
        """Run a command with ``--json`` and return the one document it prints."""
        done = self.run(*arguments, "--json")
        (line,) = done.stdout.splitlines()
        return json.loads(line)

    def accept(self, *intents: Mapping[str, Any]) -> list[str]:
        """Accept intents and return the notification ids."""
        done = self.run("accept", stdin="\n".join(map(json.dumps, intents)))
        receipts = [json.loads(line) for line in done.stdout.splitlines()]
        return [receipt["notification_id"] for receipt in receipts]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command as a process of its own; use it in ``with``."""
        return subprocess.Popen(
            [sys.executable, "-m", "galaxy_notify", *arguments],
            env=patient(os.environ | self.environ),
            text=True,
            **options,
        )


def command_for(server: Server, **settings: str) -> CommandLine:
    """Return the command line for a test server."""
    return CommandLine(server.url, settings)
