"""The janitor's check: it mends what is beyond doubt, leaves the rest, and keeps out of the way."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from galaxy_notify.publishing import janitor, state_check
from galaxy_notify.publishing.state_check import REPAIRED
from tests.support.dead_letters import snapshot
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.faults import BESIDE, FAULTS
from tests.support.fsck import ALL, CHANNELS, fsck, sound_parts
from tests.support.refusing import out_of_memory
from tests.support.servers import Server
from tests.support.telemetry import Lines, Metrics, json_logs

CHECKED = "state checked"


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Give what was logged."""
    with json_logs() as read:
        yield read


def told(lines: Lines, event: str) -> list[tuple[str, str]]:
    """Return code and subject of the lines of an event."""
    return [(line["code"], line["subject"]) for line in lines() if line["event"] == event]


@pytest.mark.parametrize("name", ALL)
def test_fault__is_mended_where_the_state_decides(
    name: str, server: Server, deploy: Deploy
) -> None:
    """A round mends what is beyond doubt; what tells of lost data waits for an operator."""
    code, plant = ALL[name]
    deployment = deploy(server, worker__channels=CHANNELS)
    sound_parts(deployment)
    plant(deployment)
    faults = {(fault.code, fault.subject) for fault in fsck(deployment)}
    before = snapshot(deployment.client)
    deployment.worker_harness().check_state()
    left = {(fault.code, fault.subject) for fault in fsck(deployment)}
    if code in REPAIRED:
        assert left == set()
    else:
        deployment.whole = False
        assert left == faults
        assert {each for each, _ in faults} <= {code} | BESIDE
        assert snapshot(deployment.client) == before


def test_fault__is_counted_each_time_and_logged_once_a_round(
    server: Server, deploy: Deploy, lines: Lines
) -> None:
    """Hundreds of one kind are one line; what is left is told again only after it was gone."""
    deployment = deploy(server, worker__channels=CHANNELS)
    metrics = Metrics()
    harness = deployment.worker_harness(telemetry=metrics.recorder)
    for _ in range(30):
        FAULTS["early"](deployment)
    lost = FAULTS["vanished"](deployment)
    for _ in range(3):
        harness.check_state()
    assert [code for code, _ in told(lines, "inconsistency repaired")] == ["early"]
    assert told(lines, "inconsistency not repaired") == [("vanished", lost)]
    counted = metrics.values("state.faults")
    assert counted == {("mended", "early"): 30, ("left", "vanished"): 3}
    assert {fault.became for fault in fsck(deployment, fix=True)} == {"mended"}
    harness.check_state()
    FAULTS["vanished"](deployment)
    FAULTS["early"](deployment)
    harness.check_state()
    assert (
        len(told(lines, "inconsistency repaired"))
        == len(told(lines, "inconsistency not repaired"))
        == 2
    )
    assert {fault.became for fault in fsck(deployment, fix=True)} == {"mended"}


def test_work__is_no_fault(any_server: Server, deploy: Deploy, lines: Lines) -> None:
    """Beside a worker and producers a round finds nothing."""
    deployment = deploy(any_server)
    working, scrubbing = deployment.worker_harness(), deployment.worker_harness()
    with working.running():
        for number in range(20):
            deployment.notifier.accept_many([_intent(number, each) for each in range(50)])
            deployment.notifier.cancel(
                deployment.notify("late", due_at=deployment.now() + 3_600_000)
            )
            scrubbing.check_state()
    assert len([line for line in lines() if line["event"] == CHECKED]) == 20
    assert told(lines, "inconsistency repaired") == told(lines, "inconsistency not repaired") == []


def test_round__is_spread_over_many_passes(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass looks at a page at most; an idle janitor does not even that."""
    deployment = deploy(server)
    due = deployment.now() + 3_600_000
    deployment.notifier.accept_many(
        [_intent(number, 0) | {"due_at": due} for number in range(1000)]
    )
    clock = [1000.0]
    for module in (janitor, state_check):
        monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    harness = deployment.worker_harness()
    assert harness.tidy()
    assert _pages(deployment) == 0
    clock[0] += 86_400
    seen: list[int] = []
    for _ in range(50):
        assert harness.tidy()
        seen.append(_pages(deployment))
        clock[0] += 10
    assert all(later - earlier <= 1 for earlier, later in pairwise([0, *seen]))
    assert seen[-1] > 2 * 1000 // 256
    # The round is over, and for minutes there is no other.
    assert seen[-20] == seen[-1]


def test_outage__ends_the_round(any_server: Server, deploy: Deploy) -> None:
    """Nothing is mended on a server that takes no writes; the next round does it."""
    deployment = deploy(any_server)
    member = FAULTS["not-scheduled"](deployment)
    harness = deployment.worker_harness()
    deployment.load_scripts()
    with out_of_memory(any_server):
        harness.check_state()
    assert member not in deployment.due()
    harness.check_state()
    assert member in deployment.due()


def test_user__who_may_not_look_tidies_up_all_the_same(
    server: Server, deploy: Deploy, lines: Lines
) -> None:
    """Without the permission nothing else suffers, and one line says so."""
    deployment = deploy(server)
    member = FAULTS["not-scheduled"](deployment)
    deployment.client.acl_setuser(
        "ann", enabled=True, nopass=True, commands=["+@all", "-zscan"], keys=["{gn:*}:*"]
    )
    try:
        harness = deployment.worker_harness(redis__username="ann")
        for _ in range(3):
            harness.check_state()
            assert harness.tidy()
    finally:
        deployment.client.acl_deluser("ann")
    refused = [line for line in lines() if line["event"] == "state check unavailable"]
    assert [line["code"] for line in refused] == ["NOPERM"]
    assert member not in deployment.due()
    assert {fault.became for fault in fsck(deployment, fix=True)} == {"mended"}


def _intent(number: int, each: int) -> dict[str, Any]:
    return {"type": "game.ready", "producer": f"lobby-{number}", "recipients": [f"u{each}"]}


def _pages(deployment: DeploymentFixture) -> int:
    """Count the pages: each of them is one walk on."""
    stats: Any = deployment.client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("zscan", "scan"))
