"""The systemd unit: every line of it is understood, and it keeps the service in its cage."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.needs import needs

UNITS = Path(__file__).parents[2] / "systemd"
NAME = "galaxy-notify.service"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Give a copy of the unit and its drop-ins that starts a program every machine has."""
    text = (UNITS / NAME).read_text()
    copy = tmp_path / NAME
    copy.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    shutil.copytree(UNITS / f"{NAME}.d", tmp_path / f"{NAME}.d")
    return copy


def _analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@needs("systemd-analyze")
def test_unit__is_understood_without_a_warning(unit: Path) -> None:
    """Systemd has nothing to say about the unit and its drop-ins (it warns, and returns 0)."""
    answer = _analyze("verify", unit)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


@needs("systemd-analyze")
def test_unit__is_hardened(unit: Path) -> None:
    """The exposure of the service stays at 1.5 of 10 or less, even without the drop-ins."""
    shutil.rmtree(f"{unit}.d")
    answer = _analyze("security", "--no-pager", "--offline=true", "--threshold=15", unit)
    assert answer.returncode == 0, answer.stdout


def test_unit__does_what_the_daemon_relies_on() -> None:
    """The promises between the daemon and systemd stand in the unit."""
    lines = (UNITS / NAME).read_text().splitlines()
    promised = {
        "Type=notify",
        "WatchdogSec=30s",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "RestartPreventExitStatus=78",
        "KillMode=mixed",
        "TimeoutStopSec=30s",
        "StateDirectoryMode=0700",
    }
    assert promised <= set(lines)
