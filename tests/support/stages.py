"""The stage of ``demo --web`` in a test, and a browser that watches it as a person does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from tests.support.chromium import Chromium, Page
from tests.support.patience import patient
from tests.support.wait import HANG_S, wait_until

COMMAND: Final = (sys.executable, "-m", "galaxy_notify", "demo", "--web")
_KEYS: Final[Mapping[str, tuple[int, str]]] = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    " ": (32, " "),
    "ArrowRight": (39, ""),
    "ArrowLeft": (37, ""),
}
#: What the page has counted, by the names that it shows.
_TALLY: Final = """Object.fromEntries(["sent", "shown", "waiting", "repeated", "lost"]
  .map((name) => [name, Number(document.getElementById(name).textContent)]))"""
#: What axe-core finds in a document, frames left out, and what it has found in order.
_AUDIT: Final = """axe.run(document, { iframes: false }).then(({ violations, passes }) => ({
  passes: passes.map(({ id }) => id),
  violations: violations.map(({ id, impact, nodes }) => `${impact} ${id}: ` + nodes.map((one) =>
    `${one.html} ${(one.any[0] ?? one.all[0] ?? one.none[0])?.message}`).join(" | ")),
}))"""


class Stage:
    """A running stage."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it by a signal, as a person does; it must end with 0."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        assert self.process.wait(HANG_S) == 0


@contextmanager
def running_stage(script: str = "") -> Iterator[Stage]:
    """Run a stage while the block runs; at its end nothing of it may be left.

    A shell *script* is given the command as its arguments, to run it as a person's shell does.
    """
    folder = Path(tempfile.mkdtemp(prefix="gn-"))  # a short path, for sockets
    shell = ["sh", "-c", script, "sh"] if script else []
    process = subprocess.Popen(
        [*shell, *COMMAND, "--port", "0"],
        stdout=subprocess.PIPE,
        env=patient({**os.environ, "TMPDIR": str(folder)}),
        text=True,
    )
    try:
        assert process.stdout is not None
        yield (stage := Stage(process, _first_line(process.stdout)))
        stage.end()
        folder.rmdir()  # which it can be, when it is empty
    finally:
        process.kill()
        process.wait(HANG_S)
        if process.stdout is not None:
            process.stdout.close()


def _first_line(output: IO[str]) -> str:
    """Return what is printed when all is ready: the URL, alone on its line."""
    line = output.readline()
    assert line.startswith("http://127.0.0.1:"), line
    assert line.endswith("/\n"), line
    return line.strip()


class StagePage(Page):
    """The page of a stage, as wide and as dark as its viewer has it."""

    def __init__(self, browser: Chromium, profile: str, *, width: int, dark: bool) -> None:
        super().__init__(browser, profile)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self._worlds: dict[str, int] = {}

    def watch(self, stage: Stage) -> None:
        """Open the stage, and wait until both bells are live."""
        self.goto(stage.url)
        for user in ("ada", "grace"):
            self.wait(f"document.querySelector('.{user}.person')?.dataset.state === 'live'")

    def wait(self, expression: str, user: str = "") -> None:
        """Wait until an expression is true, on the page or in the bell of a user."""
        try:
            wait_until(lambda: self._ask(expression, user), expression)
        except AssertionError as error:
            seen = {
                "tally": self.tally,
                "said": self._ask("document.body.innerText.slice(0, 3000)"),
            }
            raise AssertionError(f"{error}\n{json.dumps(seen)}") from error

    def bell(self, user: str, expression: str) -> Any:
        """Return the value of an expression in the bell of a user."""
        return self._ask(expression, user)

    @property
    def tally(self) -> dict[str, int]:
        """What the page has counted."""
        found: dict[str, int] = self.evaluate(_TALLY)
        return found

    @property
    def problems(self) -> list[Any]:
        """Errors of the page itself; fails where it has had one."""
        return self.records

    def click(self, selector: str, user: str = "") -> None:
        """Click on an element with the mouse, on the page or in the bell of a user."""
        where = f"document.querySelector({json.dumps(selector)})"
        spot = f"""(() => {{
            const element = {where};
            element.scrollIntoView({{ block: "center", behavior: "instant" }});
            const box = element.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
        if user:
            frame = f"document.querySelector('.{user}.person iframe')"
            self.evaluate(f'{frame}.scrollIntoView({{ block: "center", behavior: "instant" }})')
        x, y = self._ask(spot, user)
        if user:
            box = self.evaluate(f"(({{ x, y }}) => [x, y])({frame}.getBoundingClientRect())")
            x, y = x + box[0], y + box[1]
        for kind in ("mousePressed", "mouseReleased"):
            about = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self.command("Input.dispatchMouseEvent", type=kind, **about)

    def press(self, key: str, times: int = 1) -> None:
        """Press a key."""
        code, text = _KEYS[key]
        about = {"key": key, "windowsVirtualKeyCode": code}
        for _ in range(times):
            down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
            self.command("Input.dispatchKeyEvent", **down, **about)
            self.command("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self.command("Input.insertText", text=text)

    def tab_to(self, selector: str, user: str = "") -> None:
        """Press the tab key until an element has the focus, and shows it."""
        wanted = f"document.activeElement?.matches({json.dumps(selector)}) && document.hasFocus()"
        for _ in range(200):
            if self._ask(wanted, user):
                return
            self.press("Tab")
        raise AssertionError(f"{selector} is not reached by the tab key")

    def audit(self, source: str, user: str = "") -> list[str]:
        """Return the findings of axe-core, on the page or in the bell of a user."""
        self._ask(f"{source}; void 0", user, alone=True)
        found: dict[str, Any] = self._ask(_AUDIT, user, alone=True)
        assert "color-contrast" in found["passes"], found["passes"]  # it has looked
        violations: list[str] = found["violations"]
        return violations

    def _ask(self, expression: str, user: str = "", *, alone: bool = False) -> Any:
        """Return the value of an expression, in a world of our own where it is in a frame."""
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        if user or alone:
            asked["contextId"] = self._world(user)
        answer = self.command("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def _world(self, user: str) -> int:
        if user not in self._worlds:
            tree = self.command("Page.getFrameTree")["frameTree"]
            frame = tree["frame"]["id"]
            if user:
                origin = self.evaluate(f"document.querySelector('.{user}.person iframe').src")
                (frame,) = (
                    child["frame"]["id"]
                    for child in tree["childFrames"]
                    if child["frame"]["url"] == origin
                )
            made = self.command("Page.createIsolatedWorld", frameId=frame, worldName="test")
            self._worlds[user] = made["executionContextId"]
        return self._worlds[user]
