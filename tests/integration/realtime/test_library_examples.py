"""The example applications as processes, with a client that reads as a browser does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.support.application import Application, application_on
from tests.support.program import ROOT
from tests.support.servers import Server, free_port
from tests.support.wait import HANG_S, wait_until

UVICORN = ("-m", "uvicorn", "--app-dir", "examples", "--timeout-graceful-shutdown", "1")
COMMANDS = {
    "starlette": (*UVICORN, "streams_starlette:app", "--port"),
    "fastapi": (*UVICORN, "streams_fastapi:app", "--port"),
    "aiohttp": ("examples/streams_aiohttp.py",),
}
ANN = {"cookie": "session=session-of-ann"}


class Example:
    """An example that runs."""

    def __init__(self, app: Application, name: str) -> None:
        self.app = app
        port = free_port()
        environment = os.environ | {"REDIS_URL": app.server.url}
        command = [sys.executable, *COMMANDS[name], str(port)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=url, headers=ANN, timeout=HANG_S)
        wait_until(self._listens, "it listens")

    def _listens(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(self.process.communicate()[0].decode())
        try:
            return self.client.get("/events", headers={"cookie": ""}).status_code == 401
        except httpx.ConnectError:
            return False

    @contextmanager
    def events(self, **headers: str) -> Iterator[Iterator[dict[str, str]]]:
        """Give the events that a client is sent, until the block ends."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        with self.client.stream("GET", "/events", headers=sent) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["cache-control"] == "no-store, no-transform"
            yield _frames(response.iter_lines())

    def end(self) -> None:
        """End the process as its supervisor does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=HANG_S)


def _frames(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    frame: dict[str, str] = {}
    for line in lines:
        name, found, value = line.partition(": ")
        if found and name:
            frame[name] = value
        elif not line:
            if "event" in frame:
                yield frame
            frame = {}


@pytest.fixture(params=COMMANDS)
def example(request: Any, server: Server) -> Iterator[Example]:
    """Run each example."""
    with application_on(server) as app:
        made = Example(app, request.param)
        try:
            yield made
        finally:
            made.client.close()
            made.process.kill()
            made.process.communicate()


def test_example__sends_each_user_the_own_events(example: Example) -> None:
    """A browser resumes by its last id, gets messages, and its presence ends when it leaves."""
    app = example.app
    with example.events() as events:
        assert next(events)["event"] == "hello"
        app.publish("bob", "ann")
        first = next(events)
        assert (first["event"], '"number":2' in first["data"]) == ("notification", True)
        bob = {"cookie": "session=session-of-bob"}
        assert example.client.post("/typing/ann", headers=bob).json() == {"reached": 1}
        assert next(events)["data"] == '{"type":"typing","data":{"who":"bob"}}'
    wait_until(lambda: not app.instances("ann"), "the presence has ended")
    app.publish("ann")
    with example.events(last_event_id=first["id"]) as events:
        assert '"resumed":true' in next(events)["data"]
        assert '"number":3' in next(events)["data"]
        with example.events(last_event_id="nonsense") as others:
            assert [next(others)["event"] for _ in range(2)] == ["hello", "reset"]


def test_example__knows_its_users(example: Example) -> None:
    """Nothing of the request but the login says who the user is."""
    for cookie in ("", "session=guessed"):
        found = example.client.get("/events?user=ann", headers={"cookie": cookie})
        assert found.status_code == 401


def test_example__stops_with_clients_connected(example: Example) -> None:
    """It waits for no client, and leaves nothing in Redis."""
    with example.events() as events:
        assert next(events)["event"] == "hello"
        example.end()
    assert example.app.instances("ann") == []
    assert example.app.client.keys("*:inbox") == []
