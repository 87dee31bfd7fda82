"""Which files of the package one operation runs through: ``python -m tests.bench.trips``.

Every file that one warm operation enters counts, down to a property of a value. The server, the
connection and the caches are made before, so what is counted is the way of one intent, one route,
one dead letter or one request.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

import galaxy_notify
from galaxy_notify.http.app import make_app
from galaxy_notify.http.dependencies import AppState
from galaxy_notify.telemetry.prometheus import start_scraped
from tests.support.command import CommandLine
from tests.support.deployment import DeploymentFixture
from tests.support.founded import found_deployment
from tests.support.intents import PLAIN
from tests.support.servers import main_server, running

_PACKAGE = Path(galaxy_notify.__file__).parent


class Trip:
    """The files that were entered, in the order of the first visit."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_PACKAGE):
            self.files.setdefault(str(path.relative_to(_PACKAGE)))


@contextmanager
def trip() -> Iterator[Trip]:
    """Follow this thread, and the threads that it starts, through the package."""
    made = Trip()
    threading.setprofile(made)
    sys.setprofile(made)
    try:
        yield made
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def _accept(deployment: DeploymentFixture) -> Trip:
    deployment.notifier.accept(PLAIN)
    with trip() as made:
        deployment.notifier.accept(PLAIN)
    return made


def _publish(deployment: DeploymentFixture) -> Trip:
    harness = deployment.worker_harness()
    deployment.notifier.accept(PLAIN)
    harness.step()
    deployment.notifier.accept(PLAIN)
    with trip() as made:
        harness.step()
    return made


def _post(deployment: DeploymentFixture) -> Trip:
    return asyncio.run(_posted(deployment))


async def _posted(deployment: DeploymentFixture) -> Trip:
    """Follow one request through the whole application, in this process."""
    state = AppState.open(deployment.settings, start_scraped({}))
    transport, intent = httpx.ASGITransport(make_app(state)), dict(PLAIN)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.post("/v1/notifications", json=intent)
        with trip() as made:
            await client.post("/v1/notifications", json=intent)
    await state.close()
    state.telemetry.shutdown()
    return made


def _replay(deployment: DeploymentFixture) -> Trip:
    for _ in range(2):
        (member,) = deployment.bury()
        with trip() as made:
            done = CommandLine(deployment.settings.redis.url).run("dead", "replay", member, "--yes")
        assert done.exit_code == 0, done.output
    return made


TRIPS: dict[str, Callable[[DeploymentFixture], Trip]] = {
    "accept": _accept,
    "publish": _publish,
    "replay": _replay,
    "post": _post,
}


def main() -> None:
    """Print the files of each operation."""
    with running(main_server()) as server:
        found_deployment(server.url)
        for name, follow in TRIPS.items():
            files = follow(DeploymentFixture(server.url)).files
            print(f"{name}: {len(files)} files\n  " + "\n  ".join(files))


if __name__ == "__main__":
    main()
