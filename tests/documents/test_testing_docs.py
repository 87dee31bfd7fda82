"""docs/testing.md: its tests pass, and its table names what there is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from galaxy_notify.testing import LocalDeployment
from tests.support.documents import names, runnable
from tests.support.program import ROOT

PAGE = "docs/testing.md"


def test_page__shows_tests_that_pass(tmp_path: Path) -> None:
    """With pytest alone, in a folder of their own, and warnings as errors."""
    (block,) = runnable(PAGE, "python", "pytest")
    (tmp_path / "test_reminders.py").write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{block.text.count('def test_')} passed" in done.stdout


def test_page__names_every_part() -> None:
    """The table has what a deployment offers, and nothing else."""
    named = {name.partition("(")[0] for name in names(PAGE, "parts")}
    offered = {name for name in vars(LocalDeployment) if not name.startswith("_")}
    assert named == offered - {"close"}
