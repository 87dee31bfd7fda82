"""Signals that a program sends itself at steps of its own, not after a time."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.program import PROGRAM, ROOT
from tests.support.wait import HANG_S

# Loaded by the interpreter before the program. An audit event is a step; those before the
# program's first line do not count, and only the first process that comes here has the steps.
_HOOK = """
import json, os, signal, sys
# Whoever runs the tests below nohup ignores it, and all that they start inherits that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
steps = json.loads(os.environ["STEPS"])
def mine():
    try:
        os.close(os.open(os.environ["STEPS_CLAIM"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
def begun():
    module = sys.modules.get("galaxy_notify.signals")
    return getattr(module, "SIGNALS", None) is not None and module.SIGNALS._started
def hook(event, args):
    if not steps or not begun():
        return
    wanted, word, number = steps[0]
    if wanted not in ("", event) or word not in str(args):
        return
    steps.pop(0)
    if number:
        os.kill(os.getpid(), number)
if mine():
    sys.addaudithook(hook)
"""


class Step(NamedTuple):
    """An audit event of CPython with a word in its arguments, and the signal sent there, or 0."""

    event: str
    word: str
    signal: int = 0


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    errors: str


def start_with_steps(
    folder: Path, steps: Sequence[Step], *arguments: str, **variables: str
) -> subprocess.Popen[str]:
    """Start the program, which sends itself signals at these steps, one after the other."""
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(_HOOK)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GALAXY_NOTIFY_")}
    own = {
        "PYTHONPATH": f"{folder / 'hook'}{os.pathsep}{ROOT}",
        "STEPS": json.dumps(steps),
        "STEPS_CLAIM": str(folder / "claimed"),
    }
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=ROOT,
        env=inherited | own | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_with_steps(folder: Path, steps: Sequence[Step], *arguments: str, **variables: str) -> Ended:
    """Run the program to its end."""
    with start_with_steps(folder, steps, *arguments, **variables) as process:
        try:
            _, errors = process.communicate(timeout=HANG_S)
        except BaseException:
            process.kill()
            raise
    return Ended(process.returncode, errors)


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of the living processes that name a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(folder) in line:
            found.append(line)
    return found
