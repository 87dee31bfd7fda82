"""The demo: what a stranger sees first."""

from __future__ import annotations

import os
import re
import subprocess
import sys


def test_demo__tells_the_whole_story_and_leaves_nothing() -> None:
    """It accepts, publishes, retries, buries, replays and survives a kill, and says so."""
    before = _demo_folders()
    done = subprocess.run(
        [sys.executable, "-m", "galaxy_notify", "demo"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        # What a user has set for a deployment of his own must not reach the demo.
        env={**os.environ, "GALAXY_NOTIFY_WORKER__SHARDS": "7"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    for part in ('"status":"duplicate"', "retried", "payload_encoding_failed", "moved 1 of 1"):
        assert part in told
    late = re.search(r"in the stream (\d+) ms after it was due", told)
    assert late is not None
    assert int(late[1]) < 1000
    assert "A gateway reads 20,005 events: 0 missing, 0 twice." in told
    assert _demo_folders() == before


def _demo_folders() -> set[str]:
    temporary = os.environ.get("TMPDIR", "/tmp")
    return {name for name in os.listdir(temporary) if name.startswith("gn-demo-")}
