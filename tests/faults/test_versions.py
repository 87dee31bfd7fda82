"""Daemons of two versions on one deployment: row 62."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from galaxy_notify.redis_client.scripts import names
from tests.faults.conftest import NewFaultRun
from tests.faults.support.load import Shape
from tests.support.program import ROOT
from tests.support.roads import every_road
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended


@pytest.mark.slow
@every_road
def test_row62__two_versions_of_the_scripts(fault_run: NewFaultRun, tmp_path: Path) -> None:
    """Daemons of two versions share the work, as in the middle of an upgrade.

    On both roads the other version is one that takes a lease on everything.
    """
    one = fault_run()
    for name in ("galaxy_notify", "lua"):
        shutil.copytree(ROOT / name, tmp_path / name)
    prelude = tmp_path / "lua" / "_prelude.lua"
    prelude.write_text(prelude.read_text() + "-- another version\n")
    one.daemon()
    one.daemon(variables={"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"})
    one.deployment.load_scripts()
    for daemon in one.daemons:
        daemon.wait_for("daemon working")
    with one.load(Shape(pause_s=0.01)).running(4000) as load:
        wait_until(lambda: load.is_done, "all of it is accepted")
    one.wait_until_over()
    one.assert_kept()
    settled = [sum(line["published"] for line in d.lines("batch settled")) for d in one.daemons]
    one.figures.append(f"{settled} routes published by the two")
    assert min(settled) > 0
    assert one.deployment.client.info("memory")["number_of_cached_scripts"] > len(names())
