"""The code of an earlier version, from the history of the repository."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.program import ROOT

#: The last commit that knew states of format 1 only.
BEFORE_DELIVERIES = "93c1ce34730140ea76bdc9226bbd7e00b687329a"


def code_of(commit: str, folder: Path) -> dict[str, str]:
    """Write the package of a commit to a folder; return the variables that make Python run it.

    The test is skipped where the clone has no such commit.
    """
    done = subprocess.run(
        ["git", "archive", "--format=tar", commit, "galaxy_notify", "lua"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"commit {commit[:7]} is not in this clone: {done.stderr.decode()[:200]}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
