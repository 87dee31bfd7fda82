"""Failpoints: there are none unless asked for, and those asked for come by their seed."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from galaxy_notify.redis_client.faults import RedisFault
from tests.faults.conftest import NewFaultRun
from tests.faults.support.failpoints import PLACES, Failpoints
from tests.support.program import ROOT
from tests.support.roads import leased_road, usual_road
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended


def test_failpoints__are_not_in_the_program() -> None:
    """What is shipped does not know the word."""
    files = list((ROOT / "galaxy_notify").rglob("*.py"))
    assert files
    for path in files:
        assert "failpoint" not in path.read_text(encoding="utf-8").lower(), path


@pytest.mark.parametrize("place", PLACES)
def test_failpoint__comes_at_its_place_only(place: str) -> None:
    """An error is raised where it was asked for, as a fault of Redis or as a defect."""
    for action, kind in (("fault", RedisFault), ("raise", RuntimeError)):
        points = Failpoints(f"{place}:{action}")
        for other in PLACES:
            if other == place:
                with pytest.raises(kind):
                    points.hit(other)
            else:
                points.hit(other)


def test_failpoint__comes_as_its_seed_says() -> None:
    """The same seed draws the same, another one something else."""

    def drawn(seed: int) -> list[bool]:
        points = Failpoints(f"seed={seed},before_claim:delay=1:0.5")
        hits = []
        for _ in range(40):
            with patch("time.sleep") as slept:
                points.hit("before_claim")
            hits.append(slept.called)
        return hits

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert {*drawn(1)} == {True, False}


@pytest.mark.parametrize(
    "text", ["x", "after_claim", "after_claim:die", "claim:kill", "encode:kill:2"]
)
def test_failpoint__that_means_nothing_is_refused(text: str) -> None:
    """A misspelt failpoint is an error, not a test that passes."""
    with pytest.raises(ValueError, match=r"GN_FAILPOINTS: '.*' is no failpoint"):
        Failpoints(text)


@pytest.mark.parametrize("place", ["before_publish", "after_publish"])
@usual_road
def test_row09__hang_without_a_lease(fault_run: NewFaultRun, place: str) -> None:
    """A daemon that hangs at the script that publishes holds up nothing."""
    one = fault_run()
    one.hand_in(100)
    one.daemon(f"{place}:hang").wait_for("failpoints set")
    one.daemon()
    one.wait_until_over()
    assert one.assert_kept().abandoned == 0


@leased_road
def test_row09__hang(fault_run: NewFaultRun) -> None:
    """A daemon that hangs holds up its routes no longer than its lease; another takes over."""
    one = fault_run()
    one.hand_in(100)
    hung = one.daemon("before_settle:hang")
    hung.wait_for("failpoints set")
    wait_until(one.deployment.leases, "it has claimed")
    one.daemon()
    one.wait_until_over()
    one.assert_kept()


@usual_road
def test_misspelt_failpoint__ends_a_daemon(fault_run: NewFaultRun) -> None:
    """It does not come to work, and one line says why."""
    daemon = fault_run().daemon("after_clam:kill")
    assert daemon.ended() == 1
    assert "is no failpoint" in daemon.log.read_text()
