"""Disks that are full: rows 38 and 39, on a small file system of the server's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.conftest import NewFaultRun
from tests.faults.support.fault_run import FaultRun
from tests.faults.support.load import Shape
from tests.support.wait import HANG_S, wait_until

pytestmark = pytest.mark.extended

_SIZE = 8 << 20


def _mount(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "gn-test", str(folder)]
    with suppress(OSError):
        return (
            subprocess.run(command, capture_output=True, check=False, timeout=HANG_S).returncode
            == 0
        )
    return False


def _unmount(folder: Path) -> bool:
    command = ["umount", "--lazy", str(folder)]
    return subprocess.run(command, capture_output=True, check=False, timeout=HANG_S).returncode == 0


@contextmanager
def small_disk(one: FaultRun) -> Iterator[Path]:
    """Have the server keep its files on a small disk of its own; yield what fills it."""
    one.server.stop()
    if not _mount(one.server.folder):
        one.server.start()
        pytest.skip("needs the right to mount")
    try:
        one.server.start()
        yield one.server.folder / "filler"
    finally:
        one.server.kill()
        _unmount(one.server.folder)
        one.server.start()


def fill(file: Path, leave: int) -> None:
    """Fill the disk but for so many bytes."""
    size = _SIZE
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while size > 0:
            size -= filler.write(b"x" * 4096)
    file.write_bytes(file.read_bytes()[: max(0, file.stat().st_size - leave)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["row38_everysec", "row39_always"])
def test_disk__that_is_full_costs_nothing_but_time(fault_run: NewFaultRun, name: str) -> None:
    """What was accepted before is published once there is room again, each route once."""
    one = fault_run(options={"appendfsync": name.partition("_")[2]})
    with small_disk(one) as filler:
        daemon = one.daemon()
        daemon.wait_for("daemon working")
        load = one.load(Shape(text_bytes=2000, ahead_ms=3000))
        fill(filler, 200_000)
        with load.running(10**6):
            daemon.wait_for("redis unavailable")
            wait_until(lambda: one.journal.unavailable, "producers are told")
        filler.unlink()
        if one.server.has_ended:
            one.server.start()
        daemon.wait_for("redis available again")
        one.wait_until_over()
        one.assert_kept()
