"""docs/schedules.md and docs/listing.md: their examples do what they say."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

from galaxy_notify import Inspector
from galaxy_notify.operations import dead_letters, listing
from tests.support.command import CommandLine, command_for
from tests.support.documents import commands, names, runnable, text_of
from tests.support.patience import patient
from tests.support.program import environment
from tests.support.servers import Server

SCHEDULES, LISTING = "docs/schedules.md", "docs/listing.md"
URL = "redis://localhost:6379/0"
INTENT = {"type": "t", "producer": "lobby", "recipients": ["user-7"]}


def _run(server: Server, document: str) -> str:
    """Run the program of a document and return what it prints."""
    (block,) = runnable(document, "python")
    program = [sys.executable, "-c", block.text.replace(URL, server.url)]
    env = patient(environment(server))
    done = subprocess.run(program, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _commands(command: CommandLine, document: str, made: str) -> list[str]:
    told = []
    for line in commands(document):
        program, *arguments = shlex.split(re.sub(r"\bID\b", made, line))
        done = command.run(*arguments)
        assert (program, done.exit_code) == ("galaxy-notify", 0), f"{line}\n{done.output}"
        told.append(done.stdout)
    return told


def test_schedules__shows_examples_that_work(server: Server) -> None:
    """The commands and the program move what they say."""
    command = command_for(server)
    (made,) = command.accept(INTENT)
    assert _commands(command, SCHEDULES, made) == ["moved 1 of 1 route\n"] * 2
    assert _run(server, SCHEDULES) == "1 0 False\n"


def test_listing__shows_examples_that_work(server: Server) -> None:
    """The commands and the program list what was accepted."""
    command = command_for(server)
    made = command.accept(*[INTENT] * 3)
    table, lines = _commands(command, LISTING, made[0])
    assert table.count(made[0]) == lines.count(made[0]) == 1
    assert _run(server, LISTING).count(" pending ") == 3
    assert json.loads(lines.splitlines()[0])["notification_id"] == made[-1]


def test_listing__names_every_read() -> None:
    """The table has what an inspector does, and nothing else."""
    public = {name for name in vars(Inspector) if not name.startswith("_")}
    assert set(names(LISTING, "reads")) - {"galaxy-notify"} == public - {"from_url", "close"}


def test_listing__tells_the_bounds_of_the_code() -> None:
    """What a page looks at is what the document says."""
    values = {
        "looked": f"{listing.MOST_LOOKED:,} notifications",
        "routes": f"{listing._MOST_ROUTES:,} statuses",
        "bytes": f"{listing._MOST_BYTES >> 20} MiB of records",
        "items": f"1 to {listing.MOST_ITEMS}",
        "parts": f"first {listing._MOST_PARTS} parts",
        "dead": f"{dead_letters.MOST_LOOKED:,} for a page of dead letters",
    }
    text = " ".join(text_of(LISTING).split())
    assert [name for name, told in values.items() if told not in text] == []
