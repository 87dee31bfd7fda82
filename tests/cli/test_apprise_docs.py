"""docs/apprise.md: its first example, with the service of examples/."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import commands, text_of
from tests.support.program import ROOT, daemon, program, status
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

DOCUMENT = "docs/apprise.md"
SERVICE = [sys.executable, "examples/service.py", "--port", "0"]


@pytest.fixture
def service() -> Iterator[subprocess.Popen[str]]:
    """Run the service on a port of its own."""
    with subprocess.Popen(SERVICE, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_document__notifies_in_five_minutes(
    server: Server, service: subprocess.Popen[str], tmp_path: Path
) -> None:
    """Every command of the first example works, and the service prints what the document says."""
    assert service.stdout is not None
    url = service.stdout.readline().split()[-1]
    variables = {
        "GALAXY_NOTIFY_CONFIG": "examples/apprise.toml",
        "GALAXY_NOTIFY_CHANNELS__OPS__URLS": url,
    }
    script = tmp_path / "galaxy-notify"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m galaxy_notify "$@"\n')
    script.chmod(0o755)
    environ = os.environ | variables | {"GALAXY_NOTIFY_REDIS__URL": server.url}
    environ["PATH"] = f"{tmp_path}{os.pathsep}{environ['PATH']}"
    lines = commands(DOCUMENT)
    assert len(lines) == 2
    with daemon(server, **variables):
        wait_until(lambda: status(server, **variables)["workers"], "the daemon works")
        for line in lines:
            done = subprocess.run(
                ["sh", "-c", line],
                cwd=ROOT,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=HANG_S,
            )
            assert done.returncode == 0, f"{line}: {done.stderr}"
        for _ in lines:
            printed = service.stdout.readline().rstrip("\n")
            assert f"`{printed}`" in text_of(DOCUMENT)
        wait_until(
            lambda: status(server, **variables)["totals"]["delivered"] == 1, "the route is ended"
        )


def test_channels_test__prints_what_became_of_each_url(
    server: Server, service: subprocess.Popen[str]
) -> None:
    """By its id, and with its place where it failed; the URL is not shown."""
    assert service.stdout is not None
    url = service.stdout.readline().split()[-1]
    variables = {
        "GALAXY_NOTIFY_CONFIG": "examples/apprise.toml",
        "GALAXY_NOTIFY_CHANNELS__OPS__URLS": f"{url}\njson://s3cret@127.0.0.1:1/s3cret",
    }
    with daemon(server, **variables):
        wait_until(lambda: status(server, **variables)["workers"], "the daemon works")
    tried = program(server, "channels", "test", "ops", "ops", **variables)
    assert tried.returncode == 4, tried.stderr
    first, second = tried.stdout.splitlines()
    assert first.split()[1:] == ["delivered"]
    assert second.endswith("  transient: urls[1]: it did not take the notification")
    assert "s3cret" not in tried.stdout + tried.stderr
    shown = program(server, "channels", "show", "ops", **variables)
    assert shown.returncode == 0
    assert "s3cret" not in shown.stdout + shown.stderr
    bad = variables | {"GALAXY_NOTIFY_CHANNELS__OPS__URLS": "nope://s3cret"}
    checked = program(server, "config", "check", **bad)
    assert checked.returncode == 78
    assert "channels.ops.urls[0]: not the URL of a service" in checked.stdout + checked.stderr
    assert "s3cret" not in checked.stdout + checked.stderr
