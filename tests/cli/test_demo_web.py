"""The page of the demo: it starts with one URL, sends by real parts, and leaves nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.patience import patient
from tests.support.stages import COMMAND, Stage, running_stage
from tests.support.wait import HANG_S, wait_until


def _ask(stage: Stage, path: str, body: Any) -> Any:
    """Do what a button of the page does."""
    origin = {"Origin": stage.url.rstrip("/")}
    answer = httpx.post(f"{stage.url}{path}", json=body, headers=origin, timeout=HANG_S)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _scene(stage: Stage) -> Any:
    """Return what the page shows now."""
    with httpx.stream("GET", f"{stage.url}events", timeout=HANG_S) as events:
        line = next(line for line in events.iter_lines() if line.startswith("data: "))
    return httpx.Response(200, text=line.removeprefix("data: ")).json()


def _states(stage: Stage) -> dict[str, str]:
    """Return the states of all routes by channel and user."""
    return {f"{one['channel']}:{one['user']}": one["status"] for one in _scene(stage)["routes"]}


def test_demo_web__publishes_emails_and_survives_kills() -> None:
    """Also a process that is killed over and over: it starts again."""
    with running_stage() as stage:
        people = httpx.get(f"{stage.url}about.json", timeout=HANG_S).json()["people"]
        assert [person["user"] for person in people] == ["ada", "grace"]
        for process in ("worker", "gateway-1", "gateway-2"):
            _ask(stage, "kill", {"process": process})
        sent = _ask(stage, "send", {"to": ["ada", "grace"], "title": "Hello", "email": True})
        wanted = {
            **{f"in_app:{user}": "published" for user in sent["users"]},
            **{f"email:{user}": "delivered" for user in sent["users"]},
        }
        wait_until(lambda: _states(stage) == wanted, "all routes have arrived")
        mails = _scene(stage)["mails"]
        assert sorted((mail["user"], mail["title"]) for mail in mails) == [
            ("ada", "Hello"),
            ("grace", "Hello"),
        ]
        wait_until(
            lambda: all(one["ready"] for one in _scene(stage)["processes"]), "all work again"
        )
        assert [one["starts"] for one in _scene(stage)["processes"]] == [2, 2, 2]
        bell = httpx.get(people[0]["bell"], timeout=HANG_S)
        assert f"frame-ancestors {stage.url.rstrip('/')}" in bell.headers["content-security-policy"]


def test_demo_web__ends_by_ctrl_c_where_a_shell_ignores_it() -> None:
    """As a job in the background, whose SIGINT a shell ignores, it ends by SIGINT all the same."""
    with running_stage("trap '' INT; exec \"$@\"") as stage:
        stage.end(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_demo_web__ends_while_it_starts(number: int) -> None:
    """A signal in the middle of the start ends it as well, and nothing is left."""
    folder = Path(tempfile.mkdtemp(prefix="gn-"))
    environ = patient({**os.environ, "TMPDIR": str(folder)})
    process = subprocess.Popen(
        [*COMMAND, "--port", "0"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: any(folder.glob("gn-demo-*/*")), "it starts its servers")
    process.send_signal(number)
    said, _ = process.communicate(timeout=HANG_S)
    assert (process.returncode, said) == (0, b"")
    folder.rmdir()  # which it can be, when it is empty


def test_port__that_is_taken_is_named() -> None:
    """Where a port was asked for, no other one is used."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _refused("--web", "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr


def test_port__needs_the_page() -> None:
    """The demo in the terminal listens nowhere."""
    done = _refused("--port", "8088")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--port needs --web" in done.stderr


def _refused(*options: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND[:-1], *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG_S)
