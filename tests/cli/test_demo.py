"""The demo: what a stranger sees first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from galaxy_notify.cli.demo_stage import _patiently
from galaxy_notify.errors import Unavailable
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from tests.support.patience import patient
from tests.support.wait import HANG_S


def test_demo__tells_the_whole_story_and_leaves_nothing() -> None:
    """It accepts, publishes, retries, buries, replays and survives a kill, and says so."""
    folder = Path(tempfile.mkdtemp(prefix="gn-"))  # a short path, for a socket
    done = subprocess.run(
        [sys.executable, "-m", "galaxy_notify", "demo"],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
        # What a user has set for a deployment of his own must not reach the demo.
        env=patient({**os.environ, "GALAXY_NOTIFY_WORKER__SHARDS": "7", "TMPDIR": str(folder)}),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    for part in ('"status":"duplicate"', "retried", "payload_encoding_failed", "moved 1 of 1"):
        assert part in told
    late = re.search(r"in the stream (\d+) ms after it was due", told)
    assert late is not None  # never early: no minus sign
    assert "A gateway reads 20,005 events: 0 missing, 0 twice." in told
    folder.rmdir()  # which it can be, when it is empty


def test_demo__asks_again_where_redis_is_late() -> None:
    """On a machine that stands still for a moment it goes on."""
    late = RedisFault(Fault("timeout", Remedy.RETRY, "Timeout reading"))
    answers: list[Exception | int] = [late, Unavailable("late"), 7]

    def call() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert _patiently(call) == 7
