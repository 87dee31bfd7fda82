"""The systemd units: every line of them is understood, and each keeps its service in a cage."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from galaxy_notify.process.end_signals import SENDS_DRAIN_S
from galaxy_notify.settings.realtime import RealtimeSettings
from tests.support.requirements import requires_program
from tests.support.wait import HANG_S

UNITS = Path(__file__).parents[2] / "systemd"
DAEMON, API = "galaxy-notify.service", "galaxy-notify-http.service"
GATEWAY = "galaxy-notify-gateway.service"
FEED = "galaxy-notify-feed.service"


@pytest.fixture(params=[DAEMON, API, GATEWAY, FEED])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a copy of a unit and its drop-ins that starts a program every machine has."""
    name: str = request.param
    text = (UNITS / name).read_text()
    copy = tmp_path / name
    copy.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    if (UNITS / f"{name}.d").exists():
        shutil.copytree(UNITS / f"{name}.d", tmp_path / f"{name}.d")
    return copy


def _analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=HANG_S
    )


@requires_program("systemd-analyze")
def test_unit__is_understood_without_a_warning(unit: Path) -> None:
    """Systemd has nothing to say about the unit and its drop-ins (it warns, and returns 0)."""
    answer = _analyze("verify", unit)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


@requires_program("systemd-analyze")
def test_unit__is_hardened(unit: Path) -> None:
    """The exposure of the service stays at 1.5 of 10 or less, even without the drop-ins."""
    shutil.rmtree(f"{unit}.d", ignore_errors=True)
    answer = _analyze("security", "--no-pager", "--offline=true", "--threshold=15", unit)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("name", [DAEMON, API, GATEWAY, FEED])
def test_unit__does_what_the_process_relies_on(name: str) -> None:
    """The promises between the process and systemd stand in the unit."""
    lines = (UNITS / name).read_text().splitlines()
    promised = {
        "Type=notify",
        "WatchdogSec=30s",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "RestartPreventExitStatus=78",
        "KillMode=mixed",
    }
    own = {
        DAEMON: {f"TimeoutStopSec={SENDS_DRAIN_S + 15:.0f}s", "StateDirectoryMode=0700"},
        API: {"TimeoutStopSec=30s"},
        FEED: {"ExecReload=/bin/kill -HUP $MAINPID", "TimeoutStopSec=30s"},
        GATEWAY: {
            "ExecReload=/bin/kill -HUP $MAINPID",
            "LimitNOFILE=65536",
            f"TimeoutStopSec={RealtimeSettings().drain_ms // 1000 + 15}s",
        },
    }
    assert promised | own[name] <= set(lines)
