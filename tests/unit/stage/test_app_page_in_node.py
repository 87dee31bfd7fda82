"""The parts of the stage's page that need no browser, run by Node: counts, and places of routes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify import stage
from tests.support.requirements import requires_program
from tests.support.wait import HANG_S

pytestmark = requires_program("node")

_PAGE = Path(stage.__file__).parent / "page"


def _run(module: str, body: str, folder: Path) -> Any:
    """Return what a function body returns that has the exports of a module as `page`."""
    copy = folder / f"{module}.mjs"
    copy.write_bytes((_PAGE / f"{module}.js").read_bytes())
    script = f"""
        const page = await import({json.dumps(copy.as_uri())});
        const run = (page) => {{ {body} }};
        process.stdout.write(JSON.stringify(run(page)));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


_TALLY = """
    let now = 0;
    const tally = page.makeTally(() => now);
    const counts = [];
    const note = () => counts.push(Object.values(tally.count()));
    const send = (id, due) => tally.send({ id, users: ["ada", "grace"], due_at_ms: due });
"""


def test_tally__counts_what_bells_show(tmp_path: Path) -> None:
    """Sent, shown, waiting, repeated, lost; what this page has not sent is not its business."""
    body = """
        tally.ring("ada", "early"); send("early", 0); note();
        tally.list("grace", ["early"]); note();
        tally.ring("ada", "older"); tally.ring("ada", "older"); note();
        tally.ring("ada", "early"); note();
        send("late", 0); tally.list("ada", ["late", "late"]); note();
        return counts;
    """
    assert _run("tally", _TALLY + body, tmp_path) == [
        [2, 1, 1, 0, 0],
        [2, 2, 0, 0, 0],
        [2, 2, 0, 0, 0],
        [2, 2, 0, 1, 0],
        [4, 3, 1, 2, 0],
    ]


def test_tally__calls_lost_what_does_not_come_while_all_works(tmp_path: Path) -> None:
    """Not before its time, not while a process is away, and no longer when it comes after all."""
    body = """
        send("a", 5000); tally.settle(true); now = 24000; note();
        tally.settle(false); now = 26000; note();
        tally.settle(true); now = 46000; tally.settle(true); note();
        now = 46001; note();
        tally.ring("ada", "a"); note();
        return counts;
    """
    assert _run("tally", _TALLY + body, tmp_path) == [
        [2, 0, 2, 0, 0],
        [2, 0, 2, 0, 0],
        [2, 0, 2, 0, 0],
        [2, 0, 0, 0, 2],
        [2, 1, 0, 0, 1],
    ]


@pytest.mark.parametrize(
    ("route", "station", "look", "says"),
    [
        ({"status": "pending", "due_at_ms": 5000}, 1, "waiting", "due in 4 s"),
        ({"status": "pending", "due_at_ms": 900}, 1, "moving", "due: waits for a worker"),
        ({"status": "pending", "due_at_ms": 100}, 1, "late", "due: waits for a worker"),
        ({"status": "pending", "sending": True, "due_at_ms": 0}, 2, "moving", "being sent"),
        ({"status": "failed", "attempts": 1}, 1, "late", "tries again: attempt 2"),
        ({"status": "published", "shown": False}, 2, "moving", "in the stream, not shown yet"),
        ({"status": "published", "shown": True}, 3, "done", "shown by the bell"),
        ({"status": "delivered", "due_at_ms": 3, "at_ms": 9}, 3, "done", "e-mailed 6 ms after"),
        ({"status": "skipped", "reason": "read"}, 3, "skipped", "read in time: no e-mail"),
        ({"status": "dead_letter"}, 3, "late", "could not be sent"),
    ],
)
def test_routes__are_where_they_are(
    route: dict[str, Any], station: int, look: str, says: str, tmp_path: Path
) -> None:
    """Each state has a place on the line and words for it."""
    given = {"channel": "in_app", "due_at_ms": 0, "at_ms": 0, "shown": False, **route}
    body = f"const given = {json.dumps(given)}; return page.place(given, given.shown, 1000);"
    found = _run("routes", body, tmp_path)
    assert (found["station"], found["look"]) == (station, look)
    assert found["says"].startswith(says)
