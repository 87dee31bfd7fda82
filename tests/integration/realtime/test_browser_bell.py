"""docs/feed.md, from zero to a bell with a badge: its files and commands are a bell that works."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.chromium import Chromium, Page, requires_chromium
from tests.support.documents import runnable
from tests.support.embedded_postgres import kill_postgres
from tests.support.patience import patient
from tests.support.program import ROOT
from tests.support.servers import free_port
from tests.support.wait import HANG_S, wait_until

pytestmark = requires_chromium

DOCUMENT, MARKER = "docs/feed.md", "run bell"
_SHOWN = """(() => {
  const text = (id) => document.getElementById(id)?.textContent;
  const lines = [...document.querySelectorAll("#list li")];
  const list = lines.map((line) => [line.textContent, line.className]);
  return { badge: text("badge"), state: text("state"), news: text("news"), list };
})()"""


@dataclass(frozen=True)
class Reader:
    """Someone who does what the document says, in a folder and at ports of the test."""

    folder: Path
    gateway: str
    site: str

    def block(self, language: str, marker: str = MARKER, at: int = 0) -> str:
        """Return a block, with the ports of the test."""
        text = runnable(DOCUMENT, language, marker)[at].text
        for usual, own in (("8090", self.gateway), ("8000", self.site)):
            text = text.replace(usual, own)
        return text

    @property
    def environment(self) -> dict[str, str]:
        """Where the commands are found, and where the servers keep what they hold."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GALAXY_NOTIFY_")}
        return patient(
            kept
            | {
                "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "XDG_STATE_HOME": str(self.folder),
                "GALAXY_NOTIFY_REALTIME__PORT": self.gateway,
            }
        )

    def prepare(self) -> None:
        """Save the files, under the names that the document gives them."""
        for name, command in (("python3", ""), ("galaxy-notify", "-m galaxy_notify")):
            path = self.folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {command} "$@"\n')
            path.chmod(0o755)
        (self.folder / "page").mkdir()
        (self.folder / "bell.toml").write_text(self.block("toml"))
        (self.folder / "page" / "index.html").write_text(self.block("html"))
        self.run(self.block("sh"))

    def run(self, script: str) -> str:
        """Run a block to its end; return what it printed."""
        done = subprocess.run(
            ["sh", "-eu", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def terminal(self, command: str, log: Path) -> Iterator[None]:
        """Run a command in a terminal while the block runs, and end it by Ctrl-C."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                shlex.split(command),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            yield
            process.send_signal(signal.SIGINT)
            process.wait(HANG_S)
        finally:
            process.kill()
            process.wait(HANG_S)


@pytest.fixture
def reader() -> Iterator[Reader]:
    """Give a reader in a folder of a short name, for sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="gn-"))
    try:
        yield Reader(folder, str(free_port()), str(free_port()))
    finally:
        postgres = folder / "galaxy-notify-postgres"
        if postgres.exists():
            kill_postgres(postgres)
        shutil.rmtree(folder)


@contextmanager
def _servers(reader: Reader) -> Iterator[None]:
    """Run the servers, each as soon as what it needs is there."""
    run, gateway, site = reader.block("sh", f"{MARKER} servers").splitlines()
    log = reader.folder / "run.log"
    with ExitStack() as stack:
        stack.enter_context(reader.terminal(run, log))
        wait_until(lambda: "feed writing" in log.read_text(), "the daemon and the writer work")
        stack.enter_context(reader.terminal(gateway, reader.folder / "gateway.log"))
        stack.enter_context(reader.terminal(site, reader.folder / "site.log"))
        wait_until(lambda: _answers(f"http://127.0.0.1:{reader.gateway}/readyz"), "it is ready")
        wait_until(lambda: _answers(f"http://127.0.0.1:{reader.site}/"), "the page is served")
        yield


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=HANG_S).is_success
    except httpx.TransportError:
        return False


def _expect(pages: Sequence[Page], **shown: Any) -> None:
    """Wait until all pages show this, and fail with what they show."""
    for page in pages:
        assert page.records == []  # it has had no error
        found: dict[str, Any] = {}

        def is_shown(page: Page = page, found: dict[str, Any] = found) -> bool:
            found.update(page.evaluate(_SHOWN))
            return found | shown == found

        try:
            wait_until(is_shown, f"a page shows {shown}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {found}") from error


def test_bell__works_as_it_is_shown(chromium: Chromium, reader: Reader) -> None:
    """In two browsers, and on a page that is offline while something is taken back."""
    reader.prepare()
    url = re.search(r"`(http://localhost:\d+/)`", _text(reader))
    assert url
    with _servers(reader), chromium.profile() as first, chromium.profile() as second:
        pages = [Page(chromium, profile) for profile in (first, second)]
        for page in pages:
            page.goto(url[1])
        _expect(pages, badge="0", state="live", news="", list=[])
        accept, retract = reader.block("sh", at=1), reader.block("sh", f"{MARKER} ID")
        names = [_accepted(reader, accept)]
        _expect(pages, badge="1", news="Your turn", list=[["Your turn", "unread"]])
        names.append(_accepted(reader, accept.replace("Your turn", "Hurry")))
        both = [["Hurry", "unread"], ["Your turn", "unread"]]
        _expect(pages, badge="2", news="Hurry", list=both)
        _click(pages[0], f"document.getElementById('{names[0]}')")
        _expect(pages, badge="1", list=[["Hurry", "unread"], ["Your turn", ""]])
        pages[1].set_offline(True)
        _expect(pages[1:], state="connecting")
        reader.run(retract.replace("ID", names[1]))
        _expect(pages[:1], badge="0", news="", list=[["Your turn", ""]])
        assert pages[1].evaluate(_SHOWN)["list"][0] == ["Hurry", "unread"]
        pages[1].set_offline(False)
        _expect(pages, state="live", badge="0", news="", list=[["Your turn", ""]])
        _accepted(reader, accept.replace("Your turn", "Last"))
        _expect(pages, badge="1", list=[["Last", "unread"], ["Your turn", ""]])
        _click(pages[1], "document.getElementById('all')")
        _expect(pages, badge="0", list=[["Last", ""], ["Your turn", ""]])


def _text(reader: Reader) -> str:
    return (ROOT / DOCUMENT).read_text(encoding="utf-8").replace("8000", reader.site)


def _accepted(reader: Reader, command: str) -> str:
    """Notify the user; return the id of the receipt."""
    return str(json.loads(reader.run(command))["notification_id"])


def _click(page: Page, element: str) -> None:
    page.evaluate(f"{element}.click()")
