"""What a failover that nobody coordinated loses, by ``redis.durability``: counted, and printed."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from galaxy_notify.embedded.binaries import ServerBinary
from tests.support.deployment import DeploymentFixture
from tests.support.load import load_on
from tests.support.roads import Road
from tests.support.sentinels import role_of, watched
from tests.support.servers import servers_found
from tests.support.telemetry import json_logs
from tests.support.wait import wait_until

pytestmark = pytest.mark.slow


class Loss(NamedTuple):
    """What was acknowledged, and what of it is not there any more."""

    accepted: int
    accepts_lost: int
    published: int
    publishes_lost: int


@pytest.mark.parametrize("durability", ["none", "replicas:1", "replicas:2"])
@pytest.mark.parametrize("name", list(servers_found()))
def test_forced_failover__loses(
    name: str, durability: str, road: Road, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all replicas waited for, nothing; otherwise what the old primary took to the last."""
    loss = _measured(servers_found()[name], durability, road)
    with capsys.disabled():
        told = ", ".join(f"{field} {value:,}" for field, value in loss._asdict().items())
        print(f"\n{name}, durability {durability}, {road}: {told}")  # noqa: T201  # the figures are the point
    assert loss.accepted > 200
    if durability == "replicas:2":
        assert (loss.accepts_lost, loss.publishes_lost) == (0, 0)


def _measured(binary: ServerBinary, durability: str, road: Road) -> Loss:
    with json_logs("info"), watched(binary) as nodes:
        # What a worker held when the primary changed is due again after its lease.
        settings = nodes.settings | {
            "redis__durability": durability,
            "worker__publish": road,
            "worker__slots": 1,
        }
        deployment = DeploymentFixture("redis://unused:1/0", worker__lease_ttl_ms=5_000, **settings)
        with (
            load_on(deployment.settings, producers=4) as load,
            deployment.worker_harness().running(),
        ):
            load.wait_for_more(100)
            old = nodes.primary()
            nodes.force_failover()
            wait_until(lambda: role_of(old) == "slave", "the old primary follows")
            load.wait_for_more(100)
        with deployment.worker_harness().running():
            wait_until(lambda: not deployment.due(), "all are published")
        there = set(deployment.event_ids())
        held = {name[:32] for name in there}
        loss = Loss(
            len(load.accepted),
            len(set(load.accepted) - held),
            len(load.published),
            len(set(load.published) - there),
        )
        deployment.assert_sound()
        deployment.close()
    return loss
