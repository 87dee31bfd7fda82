"""Signals at any moment: the program ends in order, and leaves no process behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import NOWHERE
from tests.support.encoders import ROUND
from tests.support.program import PROGRAM, ROOT
from tests.support.seed import seed_of_run
from tests.support.servers import Server
from tests.support.steps import Step, processes_of, run_with_steps
from tests.support.wait import HANG_S, wait_until

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP

# Steps of a start, in their order.
FIRST_IMPORT = Step("import", "click")
SETTINGS = Step("import", "pydantic")
LOCK = Step("open", "users.lock")
VERSION = Step("subprocess.Popen", "--version")
LAUNCH = Step("subprocess.Popen", "--unixsocket")
CONNECT = Step("socket.connect", "")
DAEMON = Step("import", "galaxy_notify.daemon.process")

EMBEDDED = {
    "first import": [FIRST_IMPORT],
    "settings": [SETTINGS],
    "lock": [LOCK],
    "version": [VERSION],
    "launch": [LAUNCH],
    "server starts": [LAUNCH, CONNECT],
    "server answers": [LAUNCH, DAEMON],
    "joining": [DAEMON, CONNECT],
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a short folder of one's own, whose name no other process has in its command."""
    made = Path(tempfile.mkdtemp(prefix="gn-"))
    yield made
    left = processes_of(made)
    shutil.rmtree(made)
    assert left == []


def at(steps: list[Step], *signals: int) -> list[Step]:
    """Send signals at the last of the steps."""
    last = steps[-1]
    return [*steps[:-1], last._replace(signal=signals[0]), *(Step("", "", n) for n in signals[1:])]


@pytest.mark.parametrize("moment", EMBEDDED)
def test_embedded_run__ends_in_order_at_any_moment(folder: Path, moment: str) -> None:
    """However early the signal comes, the exit code is 0 and no server is left."""
    state = {"GALAXY_NOTIFY_REDIS__STATE_DIR": str(folder / "state"), "PATH": ""}
    number = INT if moment == "server starts" else TERM
    ended = run_with_steps(folder, at(EMBEDDED[moment], number), "--embedded", "run", **state)
    assert ended.code == 0, ended.errors
    assert "Traceback" not in ended.errors
    assert processes_of(folder) == []


@pytest.mark.parametrize("moment", ["launch", "server starts", "joining"])
def test_embedded_run__leaves_no_server_at_the_second_signal(folder: Path, moment: str) -> None:
    """A second signal ends it at once with 1, and the server is asked to end."""
    state = {"GALAXY_NOTIFY_REDIS__STATE_DIR": str(folder / "state"), "PATH": ""}
    ended = run_with_steps(folder, at(EMBEDDED[moment], TERM, INT), "--embedded", "run", **state)
    assert ended.code == 1, ended.errors
    assert "Traceback" not in ended.errors
    wait_until(lambda: processes_of(folder) == [], "the server is gone")


def test_embedded_run__that_hangs_leaves_no_server(folder: Path) -> None:
    """An encoder that never returns: the last resort ends the process, and the server as well."""
    settings = {
        "GALAXY_NOTIFY_REDIS__STATE_DIR": str(folder / "state"),
        "GALAXY_NOTIFY_GATEWAY__ENCODER": "tests.support.encoders:stuck",
        "PYTHONPATH": str(ROOT),
        "PATH": "",
    }
    command = [*PROGRAM, "--embedded", "run"]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, text=True
    ) as daemon:
        intent = json.dumps({"type": "t", "producer": "p", "recipients": ["u1"], "title": "hang"})
        accept = [*PROGRAM, "--embedded", "accept"]

        def accepted() -> bool:
            done = subprocess.run(
                accept,
                cwd=ROOT,
                env=os.environ | settings,
                input=intent,
                text=True,
                check=False,
                capture_output=True,
            )
            return done.returncode == 0

        wait_until(accepted, "it is accepted")
        assert daemon.stdout is not None
        assert any(ROUND in line for line in daemon.stdout)
        daemon.send_signal(TERM)
        daemon.send_signal(INT)
        assert daemon.wait(HANG_S) == 1
    wait_until(lambda: processes_of(folder) == [], "the server is gone")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_embedded_run__ends_in_order_at_every_step(folder: Path) -> None:
    """The same at forty steps, drawn from all that the start of a process has."""
    draw = random.Random(seed_of_run())
    for number in range(40):
        place = folder / str(number)
        place.mkdir()
        steps = at([Step("", "")] * draw.randint(1, 6000), draw.choice([TERM, INT]))
        last = Step("", "worker.lua", TERM)  # where the start has fewer steps
        state = {"GALAXY_NOTIFY_REDIS__STATE_DIR": str(place / "state"), "PATH": ""}
        ended = run_with_steps(place, [*steps, last], "--embedded", "run", **state)
        assert ended.code == 0, (len(steps), ended.errors)
        assert processes_of(folder) == [], len(steps)


SERVING = {
    "run": ["run"],
    "intake": ["intake"],
    "serve": ["serve"],
    "consume": ["stream", "consume", "--group", "g", "--consumer", "c"],
}
STARTS = ["run-first import", "intake-settings", "serve-settings", "consume-settings"]
MOMENTS = {"first import": [FIRST_IMPORT], "settings": [SETTINGS], "connecting": [CONNECT]}


@pytest.mark.parametrize("case", [*STARTS, *(f"{name}-connecting" for name in SERVING)])
def test_serving__ends_with_0_at_any_moment(folder: Path, case: str) -> None:
    """What serves ends with 0, also while it starts and while Redis is away."""
    command, moment = case.split("-")
    away = {"GALAXY_NOTIFY_REDIS__URL": NOWHERE, "GALAXY_NOTIFY_HTTP__PORT": "0"}
    ended = run_with_steps(folder, at(MOMENTS[moment], TERM), *SERVING[command], **away)
    assert ended.code == 0, ended.errors
    assert "Traceback" not in ended.errors


@pytest.mark.parametrize("command", ["intake", "serve", "consume"])
def test_serving__ends_in_order_where_the_terminal_goes_away(folder: Path, command: str) -> None:
    """SIGHUP ends it as SIGTERM does, where it reloads nothing."""
    away = {"GALAXY_NOTIFY_REDIS__URL": NOWHERE, "GALAXY_NOTIFY_HTTP__PORT": "0"}
    ended = run_with_steps(folder, at([CONNECT], HUP), *SERVING[command], **away)
    assert ended.code == 0, ended.errors


def test_run__reloads_at_a_hangup_however_early(folder: Path) -> None:
    """SIGHUP while the daemon starts does not end it; it reads its settings again later."""
    away = {"GALAXY_NOTIFY_REDIS__URL": NOWHERE}
    steps = [FIRST_IMPORT._replace(signal=HUP), CONNECT, CONNECT._replace(signal=TERM)]
    ended = run_with_steps(folder, steps, "run", **away)
    assert ended.code == 0, ended.errors
    assert "settings reloaded" in ended.errors


ASKING = {
    "watch": ["status", "--watch"],
    "follow": ["stream", "tail", "--follow"],
    "bench": ["bench", "--routes", "100"],
    "list": ["list"],
}


@pytest.mark.parametrize(
    ("command", "moment", "number"),
    [
        ("watch", "first import", INT),
        ("watch", "connecting", HUP),
        ("follow", "settings", HUP),
        ("follow", "connecting", TERM),
        ("bench", "first import", INT),
        ("bench", "connecting", TERM),
        ("list", "settings", TERM),
        ("list", "connecting", INT),
    ],
)
def test_asking__says_by_its_code_which_signal_ended_it(
    folder: Path, server: Server, command: str, moment: str, number: int
) -> None:
    """A command that is interrupted ends without a word, with 128 and the signal's number."""
    there = {"GALAXY_NOTIFY_REDIS__URL": server.url}
    ended = run_with_steps(folder, at(MOMENTS[moment], number), *ASKING[command], **there)
    assert ended.code == 128 + number, ended.errors
    assert "Traceback" not in ended.errors
    with server.client() as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize(
    "moment",
    [
        [FIRST_IMPORT],
        [LAUNCH],
        [LAUNCH, CONNECT],
        [Step("subprocess.Popen", "'run'")],
        [Step("subprocess.Popen", "'accept'")],
    ],
    ids=["first import", "launch", "server starts", "daemon", "story"],
)
def test_demo__leaves_nothing_however_early_it_is_ended(folder: Path, moment: list[Step]) -> None:
    """Ctrl-C ends server and daemons, and removes the folder."""
    (folder / "tmp").mkdir()
    ended = run_with_steps(folder, at(moment, INT), "demo", TMPDIR=str(folder / "tmp"), PATH="")
    assert ended.code == 130, ended.errors
    assert "Traceback" not in ended.errors
    assert processes_of(folder) == []
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.parametrize(("command", "code"), [("run", 0), ("watch", 143)])
def test_ignored_sigint__ends_only_what_serves(folder: Path, command: str, code: int) -> None:
    """In the background of a shell Ctrl-C ends what serves; a command that asks ignores it."""
    before = signal.signal(INT, signal.SIG_IGN)
    try:
        arguments = (SERVING | ASKING)[command]
        steps = [FIRST_IMPORT._replace(signal=INT), CONNECT, CONNECT._replace(signal=TERM)]
        ended = run_with_steps(folder, steps, *arguments, GALAXY_NOTIFY_REDIS__URL=NOWHERE)
    finally:
        signal.signal(INT, before)
    assert ended.code == code, ended.errors
