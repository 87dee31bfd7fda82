"""The program in processes of its own, as operators run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import Server

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "galaxy_notify"]
_STOP_SECONDS = 20


def environment(server: Server, **variables: str) -> dict[str, str]:
    """Return the environment in which the program finds the server, and nothing else of ours."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GALAXY_NOTIFY_")}
    path = os.pathsep.join([str(ROOT), inherited.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    ours = {"GALAXY_NOTIFY_REDIS__URL": server.url, "PYTHONPATH": path}
    return inherited | ours | variables


def program(server: Server, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in the root of the repository."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=ROOT,
        env=environment(server, **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


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
