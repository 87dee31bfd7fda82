"""docs/feed.md: its program runs, and its tables are those of the code."""

from __future__ import annotations

import subprocess
import sys

import click

from galaxy_notify.cli.group import cli
from galaxy_notify.feed import Publication
from tests.support.direct_feeds import migrated
from tests.support.documents import rows, runnable
from tests.support.patience import patient
from tests.support.postgres import Postgres
from tests.support.program import ROOT, environment
from tests.support.servers import Server

PAGE = "docs/feed.md"
(EXAMPLE,) = (block.text for block in runnable(PAGE, "python"))


def test_page__shows_a_program_that_works(postgres: Postgres, server: Server) -> None:
    """It prints what the page says."""
    program = EXAMPLE.replace("postgresql://galaxy@localhost/galaxy", migrated(postgres))
    program = program.replace("redis://localhost:6379/0", server.url)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=patient(environment(server, PYTHONPATH=str(ROOT))),
        capture_output=True,
        text=True,
        check=True,
    )
    printed = done.stdout.splitlines()
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert f"It prints `{printed[0]}` and `{printed[1]}`." in page


def test_page__names_every_field() -> None:
    """The table has each field of a publication."""
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in Publication.model_fields)


def test_page__names_every_command() -> None:
    """The table has each command of the feed, in the order of its help."""
    command = cli.get_command(click.Context(cli), "feed")
    assert isinstance(command, click.Group)
    told = [row[0].strip("`").split()[2] for row in rows(PAGE, "commands")[1:]]
    assert sorted(told) == sorted(command.commands)
