"""How fast a backlog is drained: one daemon beside the sequential loop, in one run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from galaxy_notify import Intent, Notifier
from tests.bench import sequential
from tests.support.servers import Server

TEXT = "It is your turn in the match of the week: the north gate is open, two fleets wait. " * 3
_LOOK_EVERY_S = 0.005


def drain_sequential(server: Server, routes: int) -> float:
    """Return the routes a second of the sequential loop."""
    server.flush()
    with server.client() as client:
        sequential.seed(client, routes, TEXT[:200].encode())
        command = [sys.executable, "-m", "tests.bench.sequential", server.url, str(routes)]
        return _rate(command, lambda: client.xlen("seq:client-events"), routes)


def drain_daemon(server: Server, routes: int, fan_out: int = 1) -> float:
    """Return the routes a second of one daemon."""
    server.flush()
    fill(server, routes, fan_out)
    with server.client() as client:
        stream = "{gn:0}:client-events"
        command = [sys.executable, "-m", "galaxy_notify", "run"]
        return _rate(command, lambda: client.xlen(stream), routes, GALAXY_NOTIFY_REDIS__URL=server.url)


def fill(server: Server, routes: int, fan_out: int) -> None:
    """Accept a backlog of routes that are due now."""
    recipients = [f"user-{number}" for number in range(fan_out)]
    with Notifier.from_url(server.url) as notifier:
        notifier.accept_many(
            Intent(
                type="bench.turn",
                producer="bench",
                recipients=recipients,
                body=TEXT[:200],
                data={"turn": number},
            )
            for number in range(routes // fan_out)
        )


def _rate(
    command: list[str], length: Callable[[], Any], routes: int, **environ: str
) -> float:
    """Run a process until the stream holds all routes; the clock starts with its first one."""
    quiet = {**os.environ, **environ, "GALAXY_NOTIFY_LOG__LEVEL": "info"}
    with Path(os.devnull).open("wb") as out:
        process = subprocess.Popen(command, env=quiet, stdout=out, stderr=out)
    try:
        while not length():
            time.sleep(_LOOK_EVERY_S)
        first, started = length(), time.perf_counter()
        while (now := length()) < routes:
            if process.poll() not in (None, 0):
                raise RuntimeError(f"{command} ended with {process.returncode}")
            time.sleep(_LOOK_EVERY_S)
        return float((now - first) / (time.perf_counter() - started))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
