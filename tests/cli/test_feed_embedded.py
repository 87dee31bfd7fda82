"""The commands of the feed with an embedded Postgres: `migrate` starts it, the others connect."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_notify.embedded.postgres import EmbeddedPostgres
from galaxy_notify.feed_store import migrations
from tests.support.command import CommandLine, command_for
from tests.support.embedded_postgres import has_ended, postgres_state
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give the folder of the Postgres of a deployment."""
    with postgres_state() as folder:
        yield folder


@pytest.fixture
def command(server: Server, folder: Path) -> CommandLine:
    """Give the command line of a deployment with an embedded Postgres."""
    state = str(folder).removesuffix("-postgres")
    return command_for(server, FEED__URL="embedded", REDIS__STATE_DIR=state)


def test_migrate__runs_it_for_as_long_as_it_takes(command: CommandLine, folder: Path) -> None:
    """It makes the data, migrates, and leaves no server; the data stays."""
    steps = [step.name for step in migrations.shipped()]
    assert command.told("feed", "migrate") == {"applied": steps}
    assert has_ended(folder)
    assert command.told("feed", "migrate") == {"applied": []}


def test_commands__say_how_to_start_it(command: CommandLine, folder: Path) -> None:
    """Without a server they name the command that starts one; with it they work."""
    command.run("feed", "migrate")
    for arguments in (("ls", "u1"), ("counts", "u1"), ("read", "u1", "--all"), ("reconcile",)):
        done = command.run("feed", *arguments)
        assert done.exit_code == 1
        expected = f"no embedded Postgres runs in {folder}; start it with: galaxy-notify feed\n"
        assert done.stderr == f"galaxy-notify: {expected}"
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        assert command.told("feed", "counts", "u1")["unread"] == 0
        assert command.run("feed", "reconcile").exit_code == 0
        # The server of another process goes on.
        assert command.told("feed", "migrate") == {"applied": []}
        assert command.run("feed", "counts", "u1").exit_code == 0
    finally:
        server.stop()


def test_migrate__interrupted_leaves_no_server(command: CommandLine, folder: Path) -> None:
    """A signal while it starts the server ends both."""
    with command.start("feed", "migrate") as process:
        wait_until(folder.exists, "it has begun")
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) in (0, 128 + signal.SIGTERM)
    wait_until(lambda: has_ended(folder), "the server has ended")
