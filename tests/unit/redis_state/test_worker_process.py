"""What a command on a worker's machine sees of its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_notify.redis_state.worker_process import own_process, process_of, process_state
from tests.support.wait import wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that waits."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_process__is_seen_to_run_to_be_stopped_and_to_be_gone(
    child: subprocess.Popen[bytes],
) -> None:
    """Also one that nobody has waited for yet is gone: it does nothing any more."""
    process = process_of(child.pid)
    assert process_state(child.pid, process) == "running"
    child.send_signal(signal.SIGSTOP)
    wait_until(lambda: process_state(child.pid, process) == "stopped", "it is stopped")
    child.kill()
    wait_until(lambda: process_state(child.pid, process) == "gone", "it is gone")
    child.wait()
    assert process_state(child.pid, process) == "gone"


def test_process__with_the_number_of_another_is_gone() -> None:
    """A number that was given away again does not bring its first owner back."""
    assert process_state(os.getpid(), own_process()) == "running"
    machine, _, started = own_process().rpartition(":")
    assert process_state(os.getpid(), f"{machine}:{int(started) - 1}") == "gone"


@pytest.mark.parametrize("pid", [0, -1, 1 << 31, 1 << 62])
def test_process__of_an_impossible_number_is_unknown(pid: int) -> None:
    """Nothing is asked of the system for it."""
    assert process_state(pid, own_process()) == "unknown"


@pytest.mark.parametrize("process", ["", ":", "another-boot:1:2", "\udcff"])
def test_process__of_another_machine_is_unknown(process: str) -> None:
    """Its number says nothing here, although there is such a process."""
    assert process_state(os.getpid(), process) == "unknown"
