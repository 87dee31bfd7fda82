"""The slow loop: one at a time, freeing what a clock holds and forgetting what is past."""

from __future__ import annotations

from tests.support.deployment import Deploy
from tests.support.servers import Server
from tests.support.wait import wait_until


def test_clock__set_back_frees_what_is_leased(any_server: Server, deploy: Deploy) -> None:
    """A lease that a clock step prolonged far beyond its time lapses in time again."""
    deployment = deploy(any_server)
    deployment.notify("u1", "u2")
    later = deployment.now() + 60_000
    deployment.notify("later", due_at=later)
    assert deployment.claim("push", 0)
    held = deployment.leases()
    deployment.move_leases(deployment.now() + 3_600_000)
    harness = deployment.worker_harness()
    assert harness.step() == 0
    assert harness.tidy()
    assert deployment.leases() == held
    assert all(deployment.due()[member] <= deployment.now() + 30_000 for member in held)
    assert max(deployment.due().values()) == later


def test_clock__that_is_right_leaves_leases_alone(any_server: Server, deploy: Deploy) -> None:
    """The janitor frees nothing that is leased no longer than it should be."""
    deployment = deploy(any_server)
    deployment.notify("u1")
    assert deployment.claim("push", 0)
    due = deployment.due()
    assert deployment.worker_harness().tidy()
    assert deployment.due() == due


def test_janitor__is_one_at_a_time(any_server: Server, deploy: Deploy) -> None:
    """Only one worker tidies a shard; when it stops, another one may at once."""
    deployment = deploy(any_server)
    first, second = deployment.worker_harness(), deployment.worker_harness()
    assert first.tidy()
    assert first.tidy()
    assert not second.tidy()
    with first.running():
        wait_until(lambda: deployment.client.exists(deployment.keys.janitor), "it tidies")
    assert second.tidy()


def test_janitor__that_died_before_the_clock_was_set_back_is_replaced(
    any_server: Server, deploy: Deploy
) -> None:
    """A lock that would last longer than it may is nobody's: leases are healed all the same."""
    deployment = deploy(any_server)
    deployment.client.set(deployment.keys.janitor, "host-9-dead", px=3_600_000)
    assert deployment.worker_harness().tidy()
    deployment.client.set(deployment.keys.janitor, "host-9-living", px=5_000)
    assert not deployment.worker_harness().tidy()


def test_server__that_restarts_empty_is_told_again_what_was_agreed(
    any_server: Server, deploy: Deploy
) -> None:
    """A producer that asks an emptied server learns the shards, not a default of its own."""
    deployment = deploy(any_server)
    agreed = deployment.client.hgetall(deployment.keys.meta)
    assert agreed
    deployment.client.delete(deployment.keys.meta)
    assert deployment.worker_harness().tidy()
    assert deployment.client.hgetall(deployment.keys.meta) == agreed
