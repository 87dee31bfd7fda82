"""docs/background.md: its program runs, and its tables are those of the code."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

from galaxy_notify import BackgroundOptions
from galaxy_notify.background.stats import DropReason
from tests.support.background import NOWHERE
from tests.support.deployment import Deploy
from tests.support.documents import names, rows, runnable
from tests.support.patience import patient
from tests.support.program import ROOT, environment
from tests.support.servers import Server

PAGE = "docs/background.md"
URL = "redis://localhost:6379/0"
(EXAMPLE,) = (block.text for block in runnable(PAGE, "python"))


def told(server: Server, folder: Path, url: str) -> str:
    """Run the example in a folder and return what it prints."""
    example = EXAMPLE.replace(URL, url)
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=folder,
        env=patient(environment(server, PYTHONPATH=str(ROOT))),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_page__shows_a_program_that_works(server: Server, deploy: Deploy, tmp_path: Path) -> None:
    """Without Redis everything is in the file, and the next run accepts both thousands."""
    deployment = deploy(server)
    path = tmp_path / "lobby.spill"
    assert told(server, tmp_path, NOWHERE) == f"0 accepted, 1000 left in {path}\n"
    assert told(server, tmp_path, server.url) == f"2000 accepted, 0 left in {path}\n"
    assert deployment.total("accepted") == 2000


def test_page__names_every_option() -> None:
    """The table has the options in their order."""
    assert [row[0].split("`")[1] for row in rows(PAGE, "options")] == [
        field.name for field in fields(BackgroundOptions)
    ]


def test_page__names_every_reason() -> None:
    """The table has the reasons that intents are dropped for."""
    assert names(PAGE, "reasons") == list(get_args(DropReason))
