"""The demo: what a stranger sees first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

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
        env={**os.environ, "GALAXY_NOTIFY_WORKER__SHARDS": "7", "TMPDIR": str(folder)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    for part in ('"status":"duplicate"', "retried", "payload_encoding_failed", "moved 1 of 1"):
        assert part in told
    late = re.search(r"in the stream (\d+) ms after it was due", told)
    assert late is not None  # never early: no minus sign
    assert "A gateway reads 20,005 events: 0 missing, 0 twice." in told
    folder.rmdir()  # which it can be, when it is empty
