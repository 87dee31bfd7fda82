"""docs/webhooks.md: its first example, with the receiver of examples/."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket

import pytest

from tests.support.contacts import key
from tests.support.documents import commands, text_of
from tests.support.program import ROOT, daemon, status
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

DOCUMENT = "docs/webhooks.md"
USUAL_PORT = "8099"
ID = re.compile(r"msg_[0-9a-f]{32}")


@pytest.fixture
def port() -> Iterator[str]:
    """Give a port that only the receiver will listen on."""
    with socket() as held:
        held.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield str(held.getsockname()[1])


@contextmanager
def receiving(secret: str, port: str) -> Iterator[Iterator[str]]:
    """Run the receiver until the block ends, and give the lines that it prints."""
    command = [sys.executable, "examples/webhook_receiver.py", port]
    environ = os.environ | {"WEBHOOK_SECRET": secret, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield iter(process.stdout)
        finally:
            process.kill()


def run(line: str, environ: dict[str, str]) -> str:
    """Run a line in a shell and return what it prints."""
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


def test_document__delivers_in_five_minutes(server: Server, port: str, tmp_path: Path) -> None:
    """Every command of the first example works, and the receiver prints what the page says."""
    script = tmp_path / "galaxy-notify"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m galaxy_notify "$@"\n')
    script.chmod(0o755)
    variables = {
        "GALAXY_NOTIFY_CONFIG": "examples/webhooks.toml",
        "GALAXY_NOTIFY_CONTACTS__KEYS": key(),
        "GALAXY_NOTIFY_CHANNELS__HOOKS__PORTS": port,
    }
    environ = os.environ | variables | {"GALAXY_NOTIFY_REDIS__URL": server.url}
    environ |= {"PATH": f"{tmp_path}{os.pathsep}{environ['PATH']}", "PYTHONPATH": str(ROOT)}
    add, receive, test, accept = commands(DOCUMENT)
    assert "examples/webhook_receiver.py &" in receive
    with daemon(server, **variables):
        wait_until(lambda: status(server, **variables)["workers"], "the daemon works")
        added = json.loads(run(f"{add} --json".replace(USUAL_PORT, port), environ))
        with receiving(added["secret"], port) as lines:
            assert next(lines).startswith("listening on")
            run(test.replace("ID", added["id"]), environ)
            run(accept, environ)
            printed = [ID.sub("msg_…", next(lines).rstrip()) for _ in range(2)]
            wait_until(lambda: status(server, **variables)["totals"]["delivered"], "it is ended")
    assert f"The receiver prints `{printed[0]}`, then `{printed[1]}`." in text_of(DOCUMENT)
