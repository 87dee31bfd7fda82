"""The program in processes of its own, as operators run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.patience import patient
from tests.support.servers import Server
from tests.support.wait import HANG_S

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "galaxy_notify"]
#: The same, failing and finding names as these variables say.
FAILING_VARIABLES = {"GN_FAILPOINTS", "GN_NAMES"}
FAILING_PROGRAM = [sys.executable, "-m", "tests.faults.support.daemon"]
_STOP_SECONDS = HANG_S


def environment(server: Server, **variables: str) -> dict[str, str]:
    """Return the environment in which the program finds the server, and nothing else of ours."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GALAXY_NOTIFY_")}
    path = os.pathsep.join([str(ROOT), inherited.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    ours = {"GALAXY_NOTIFY_REDIS__URL": server.url, "PYTHONPATH": path}
    return inherited | ours | variables


def program(
    server: Server, *arguments: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in the root of the repository."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=ROOT,
        env=patient(environment(server, **variables)),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )


def accept(server: Server, *recipients: str, **fields: Any) -> dict[str, Any]:
    """Accept a notification for these users and return its receipt."""
    intent = {"type": "t", "producer": "p", "recipients": recipients, **fields}
    done = program(server, "accept", stdin=json.dumps(intent))
    assert done.returncode == 0, done.stderr
    receipt: dict[str, Any] = json.loads(done.stdout)
    return receipt


def status(server: Server, **variables: str) -> dict[str, Any]:
    """Ask the program for the status."""
    told: dict[str, Any] = json.loads(program(server, "status", "--json", **variables).stdout)
    return told


def delivered(server: Server, number: int, url: str = "") -> list[str]:
    """Run the example gateway until it was handed so many events; return its lines."""
    with subprocess.Popen(
        [sys.executable, "examples/gateway.py", "--url", url or server.url],
        cwd=ROOT,
        env=environment(server),
        stdout=subprocess.PIPE,
        text=True,
    ) as gateway:
        assert gateway.stdout is not None
        read = [gateway.stdout.readline() for _ in range(number)]
        gateway.terminate()
        rest = gateway.stdout.read()
        assert gateway.wait(_STOP_SECONDS) == 0
    assert rest == "", "an event came twice"
    return read


@contextmanager
def daemon(server: Server, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the daemon while the block runs; afterwards it must drain and end with 0."""
    with subprocess.Popen(
        [*PROGRAM, "run"],
        cwd=ROOT,
        env=environment(server, GALAXY_NOTIFY_LOG__LEVEL="warning", **variables),
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        process.terminate()
        assert process.wait(_STOP_SECONDS) == 0
