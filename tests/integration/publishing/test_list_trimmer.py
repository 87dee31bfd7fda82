"""The list is trimmed by the janitor, with what it names."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server
from tests.support.telemetry import Lines
from tests.support.wait import wait_until


def _forget(deployment: DeploymentFixture, made: str) -> None:
    deployment.notifier.cancel(made)
    deployment.client.pexpire(deployment.key_space.keys_for(made).notification(made), 1)


def _is_gone(deployment: DeploymentFixture, made: list[str]) -> bool:
    keys = [deployment.key_space.keys_for(one).notification(one) for one in made]
    return not deployment.client.exists(*keys)


def test_list_trimmer__removes_what_is_gone(any_server: Server, deploy: Deploy) -> None:
    """Entries go with what they name, in whatever order that ends."""
    deployment = deploy(any_server)
    made = [deployment.notify() for _ in range(40)]
    for one in made[::2]:
        _forget(deployment, one)
    wait_until(lambda: _is_gone(deployment, made[::2]), "they have expired")
    harness = deployment.worker_harness()
    harness.trim_list()
    assert deployment.client.xlen(deployment.keys.accepted) == 20
    harness.trim_list()
    assert deployment.client.xlen(deployment.keys.accepted) == 20
    for one in made[1::2]:
        _forget(deployment, one)
    wait_until(lambda: _is_gone(deployment, made), "all have expired")
    harness.trim_list()
    assert deployment.client.xlen(deployment.keys.accepted) == 0


def test_list_trimmer__goes_on_while_pages_go(server: Server, deploy: Deploy) -> None:
    """What went together is removed in one go, a bounded piece in each pass."""
    deployment = deploy(server)
    with deployment.client.pipeline(transaction=False) as pipeline:
        for _ in range(3_000):
            pipeline.xadd(deployment.keys.accepted, {"ids": "0" * 32})
        pipeline.execute()
    alive = deployment.notify()
    harness = deployment.worker_harness()
    trimmer = harness.shards[0].janitor.list_trimmer
    trimmer._looked_at = 0.0
    left = [3_001]
    while harness.run(trimmer.trim()):
        left.append(int(deployment.client.xlen(deployment.keys.accepted)))
    assert all(before - after == 512 for before, after in pairwise(left))
    entries: Any = deployment.client.xrange(deployment.keys.accepted)
    assert [fields for _, fields in entries] == [{b"ids": alive.encode()}]


def test_list_trimmer__looks_seldom_where_nothing_goes(server: Server, deploy: Deploy) -> None:
    """An idle shard is not asked again soon; one at work is."""
    deployment = deploy(server)
    for _ in range(300):
        deployment.notify()
    harness = deployment.worker_harness()
    trimmer = harness.shards[0].janitor.list_trimmer
    harness.trim_list()
    asked = _runs(deployment)
    harness.tidy()
    assert _runs(deployment) == asked
    trimmer._looked_at -= 2
    harness.tidy()
    assert _runs(deployment) == asked
    harness.shards[0].state.settled_batch(0)
    trimmer._looked_at -= 2
    harness.tidy()
    assert _runs(deployment) > asked


def _runs(deployment: DeploymentFixture) -> int:
    """Return how often the list was read."""
    stats: Any = deployment.client.info("commandstats")
    return int(stats.get("cmdstat_xrange", {}).get("calls", 0))


def test_list_trimmer__is_stopped_by_no_stranger(
    any_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """Another key in its place is told once; the janitor does all the rest."""
    deployment = deploy(any_server)
    deployment.client.set(deployment.keys.accepted, "foreign")
    harness = deployment.worker_harness()
    for _ in range(3):
        harness.trim_list()
        assert harness.tidy()
    told = [line for line in lines() if line["event"] == "list trimming failed"]
    assert [(line["code"], line["level"]) for line in told] == [("WRONGTYPE", "warning")]
    deployment.client.delete(deployment.keys.accepted)
    harness.trim_list()
    assert [line["event"] for line in lines()][-1] == "list trimming resumed"
