"""Two channels of one deployment share the batches of its workers by `worker.weights`."""

from __future__ import annotations

from collections import Counter

import pytest

from galaxy_notify.operations.pausing import pause, resume
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server
from tests.support.wait import wait_until
from tests.support.worker import WorkerHarness

_BATCH = 2
_SETTINGS = {
    "worker__channels": ["push", "bulk"],
    "worker__weights": ["push=4", "bulk=1"],
    "worker__batch_size": _BATCH,
}
_SHARE = {"push": 4, "bulk": 1}
both_roads = pytest.mark.parametrize("road", ["script", "leased"])


@both_roads
def test_batches__are_divided_by_weight(server: Server, deploy: Deploy, road: str) -> None:
    """While both channels have due routes, four of any five batches are push's."""
    deployment = deploy(server, **_SETTINGS, worker__publish=road)
    _accept(deployment, push=24, bulk=6)
    batches = _batches(deployment, deployment.worker_harness(), 15)
    assert all(Counter(batches[first : first + 5]) == _SHARE for first in range(11))


@both_roads
def test_batches__of_slots_that_work_at_once(server: Server, deploy: Deploy, road: str) -> None:
    """The shares are those of the shard, not of a slot: each may be one batch ahead."""
    deployment = deploy(server, **_SETTINGS, worker__publish=road, worker__slots=2)
    _accept(deployment, push=40 * _BATCH, bulk=40 * _BATCH)
    with deployment.worker_harness().running():
        wait_until(lambda: deployment.total("published") == 80 * _BATCH, "all are published")
    order = _channels(deployment)
    last = len(order) - order[::-1].index("push")
    assert abs(order[:last].count("bulk") / _BATCH - 10) <= 2


@both_roads
def test_share__of_an_empty_channel_goes_to_the_other(
    server: Server, deploy: Deploy, road: str
) -> None:
    """Bulk takes all batches while push has nothing due, and push has saved none of them up."""
    deployment = deploy(server, **_SETTINGS, worker__publish=road)
    harness = deployment.worker_harness()
    _accept(deployment, bulk=20)
    assert _batches(deployment, harness, 7) == ["bulk"] * 7
    _accept(deployment, push=10)
    assert Counter(_batches(deployment, harness, 5)) == _SHARE


@both_roads
@pytest.mark.parametrize("paused", ["push", "bulk"])
def test_share__of_a_paused_channel_goes_to_the_other(
    server: Server, deploy: Deploy, road: str, paused: str
) -> None:
    """A pause stops one channel only; after it, the shares are those of the weights again."""
    deployment = deploy(server, **_SETTINGS, worker__publish=road)
    harness = deployment.worker_harness()
    _accept(deployment, push=14, bulk=14)
    assert pause(deployment.connected, paused)
    (other,) = {"push", "bulk"} - {paused}
    assert _batches(deployment, harness, 7) == [other] * 7
    assert resume(deployment.connected, paused)
    _accept(deployment, push=10, bulk=10)
    assert Counter(_batches(deployment, harness, 5)) == _SHARE


@both_roads
def test_batches__are_of_channels_that_the_process_serves(
    server: Server, deploy: Deploy, road: str
) -> None:
    """Channels of other processes, and external ones, are left to those who serve them."""
    channels = ["push", "bulk", "hook"]
    deployment = deploy(
        server,
        worker={"channels": channels, "serves": ["bulk", "hook"], "publish": road},
        channels={"hook": {"kind": "log"}},
    )
    deployment.notify("u1", "u2", channels=channels)
    harness = deployment.worker_harness()
    assert _batches(deployment, harness, 1) == ["bulk"]
    assert harness.step() == 0
    assert [len(deployment.due(channel)) for channel in channels] == [2, 0, 2]


def _accept(deployment: DeploymentFixture, **routes: int) -> None:
    for channel, number in routes.items():
        deployment.notify(*(f"u{user}" for user in range(number)), channels=[channel])


def _batches(deployment: DeploymentFixture, harness: WorkerHarness, passes: int) -> list[str]:
    """Let the slots pass in turn; return the channel of the batch that each of them published."""
    batches: list[str] = []
    for number in range(passes):
        before = len(_channels(deployment))
        assert harness.step(slot=number % 2) == _BATCH
        (channel,) = set(_channels(deployment)[before:])
        batches.append(channel)
    return batches


def _channels(deployment: DeploymentFixture) -> list[str]:
    """Return the channel of each event, in the order of the stream."""
    return [name.partition("/")[2].partition(":")[0] for name in deployment.event_ids()]
