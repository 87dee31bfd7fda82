"""Chromium without a window, driven over the DevTools protocol: pages of tests, their network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support.requirements import requires_program
from tests.support.wait import HANG_S, wait_until

PROGRAM = "chromium"
requires_chromium = requires_program(PROGRAM)

_OPTIONS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    # Pages that nobody looks at work as fast as the others.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)


class Chromium:
    """A browser. Each profile of it has pages, storage, locks and channels of its own."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last = 0
        self._listeners: dict[str, Callable[[str, Any], None]] = {}

    def command(self, method: str, session: str = "", **parameters: Any) -> Any:
        """Run a command and return its result; events that come before it are handed on."""
        self._last += 1
        number = self._last
        message = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps({**message, "sessionId": session} if session else message))
        while True:
            answer = json.loads(self._socket.recv(HANG_S))
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            if listener := self._listeners.get(answer.get("sessionId", "")):
                listener(answer.get("method", ""), answer.get("params"))

    def take_events(self) -> None:
        """Hand on the events that have come."""
        self.command("Browser.getVersion")

    def listen(self, session: str, listener: Callable[[str, Any], None]) -> None:
        """Have the events of a session handed on."""
        self._listeners[session] = listener

    @contextmanager
    def profile(self) -> Iterator[str]:
        """Make a profile and return its name; its pages are closed at the end."""
        name: str = self.command("Target.createBrowserContext")["browserContextId"]
        try:
            yield name
        finally:
            self.command("Target.disposeBrowserContext", browserContextId=name)


class Page:
    """A page in a profile; what it gives to ``record(json)`` is kept, also over reloads."""

    def __init__(self, browser: Chromium, profile: str) -> None:
        made = browser.command("Target.createTarget", url="about:blank", browserContextId=profile)
        self._target = made["targetId"]
        attached = browser.command("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        self._browser = browser
        self._records: list[Any] = []
        self._problems: list[str] = []
        self._listener: Callable[[str, Any], None] | None = None
        browser.listen(self._session, self._take)
        for domain in ("Page", "Runtime", "Network"):
            self.command(f"{domain}.enable")
        self.command("Runtime.addBinding", name="record")

    @property
    def records(self) -> list[Any]:
        """What was recorded; fail where the page has had an error."""
        self._browser.take_events()
        assert not self._problems, self._problems
        return self._records

    def command(self, method: str, **parameters: Any) -> Any:
        """Run a command of this page."""
        return self._browser.command(method, self._session, **parameters)

    def listen(self, listener: Callable[[str, Any], None]) -> None:
        """Have what happens on this page handed on, too."""
        self._listener = listener

    def goto(self, url: str) -> None:
        """Open an address."""
        self.command("Page.navigate", url=url)

    def reload(self) -> None:
        """Load the page again."""
        self.command("Page.reload")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression; of a promise what it becomes."""
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = self.command("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def set_offline(self, is_offline: bool) -> None:
        """Cut the network of this page off, or give it back."""
        no_limits = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.command("Network.emulateNetworkConditions", offline=is_offline, **no_limits)

    def freeze(self, is_frozen: bool) -> None:
        """Stop all that the page does, as a browser does in the background, or let it go on."""
        state = "frozen" if is_frozen else "active"
        self.command("Page.setWebLifecycleState", state=state)

    def close(self) -> None:
        """Close the page."""
        self._browser.command("Target.closeTarget", targetId=self._target)

    def _take(self, method: str, parameters: Any) -> None:
        if self._listener is not None:
            self._listener(method, parameters)
        if method == "Runtime.bindingCalled":
            self._records.append(json.loads(parameters["payload"]))
        elif method == "Runtime.exceptionThrown":
            self._problems.append(json.dumps(parameters["exceptionDetails"]))


@contextmanager
def running_chromium() -> Iterator[Chromium]:
    """Run a browser while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="gn-"))
    # Chromium refuses to be root with its sandbox.
    alone = ["--no-sandbox"] if os.getuid() == 0 else []
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, *_OPTIONS, *alone, f"--user-data-dir={folder / 'profile'}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"HOME": str(folder)},
        )
    try:
        address = wait_until(lambda: _address(folder, process), "chromium listens")
        # Without pings: a browser on a busy machine may take longer to answer one than they allow.
        with connect(
            address, max_size=None, open_timeout=HANG_S, ping_interval=None, proxy=None
        ) as socket:
            yield Chromium(socket)
    finally:
        process.terminate()
        process.wait(HANG_S)
        shutil.rmtree(folder, ignore_errors=True)


def _address(folder: Path, process: subprocess.Popen[bytes]) -> str:
    """Return where the browser takes commands; empty as long as it does not."""
    assert process.poll() is None, (folder / "log").read_text(errors="replace")
    try:
        port, path = (folder / "profile" / "DevToolsActivePort").read_text().split()
    except (OSError, ValueError):
        return ""
    return f"ws://127.0.0.1:{port}{path}"
