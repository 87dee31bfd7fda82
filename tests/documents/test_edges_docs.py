"""docs/edges.md: its loop runs, once and twice at the same time, and notifies as the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.support.deployment import Deploy
from tests.support.documents import runnable, text_of
from tests.support.patience import patient
from tests.support.program import ROOT, environment
from tests.support.servers import Server

PAGE = "docs/edges.md"
URL = "redis://localhost:6379/0"
(EXAMPLE,) = (block.text for block in runnable(PAGE, "python"))


def printed(server: Server) -> list[str]:
    """Run the example and return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLE.replace(URL, server.url)],
        env=patient(environment(server, PYTHONPATH=str(ROOT))),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_page__shows_a_loop_that_works(server: Server, deploy: Deploy) -> None:
    """It prints what the page says."""
    deployment = deploy(server)
    assert printed(server) == re.findall(r"`(\d+: notified)`", text_of(PAGE))
    assert deployment.total("accepted") == 2


def test_page__a_loop_in_two_processes_notifies_each_crossing_once(
    server: Server, deploy: Deploy
) -> None:
    """As many notifications as callers were answered True, never one crossing told to both."""
    deployment = deploy(server)
    with ThreadPoolExecutor(2) as pool:
        lines = [line for lines in pool.map(printed, [server, server]) for line in lines]
    # Their loops are not in step: the other's 3 or 4 may bring the edge back in between.
    assert 2 <= len(lines) <= 4
    assert deployment.total("accepted") == len(lines)
