"""What the memory goes to: the estimate beside what the server has in use."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.redis_inspect.memory import MemoryUse, read_memory
from galaxy_notify.redis_inspect.pace import read_pace
from galaxy_notify.redis_state.deployment import connect
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server

MANY = 2_000
BATCH = 50
SOON_MS = 3_600_000


def estimated(deployment: DeploymentFixture, server: Server) -> MemoryUse:
    """Return the estimate of the default user."""
    opened = connect(deployment.settings_at(server.url))
    try:
        use = read_memory(opened)
    finally:
        opened.close()
    assert use is not None
    return use


def used(deployment: DeploymentFixture) -> int:
    """Return the memory that the server has in use."""
    memory: Any = deployment.client.info("memory")
    return int(memory["used_memory"])


def fill(deployment: DeploymentFixture, number: int, recipients: int, **fields: Any) -> None:
    """Accept notifications."""
    for at in range(number):
        deployment.notify(
            *(f"user-{at}-{place}" for place in range(recipients)),
            data={"text": "x" * 200},
            **fields,
        )


@pytest.mark.parametrize("shards", [1, 3])
def test_memory__is_what_the_server_uses(deploy: Deploy, any_server: Server, shards: int) -> None:
    """Waiting and kept are told apart, and each is met within a fifth."""
    deployment = deploy(any_server, worker__shards=shards)
    harness = deployment.worker_harness()

    def publish() -> tuple[int, MemoryUse]:
        fill(deployment, MANY, 1)
        for shard in range(shards):
            while harness.step(shard):
                pass
        return used(deployment), estimated(deployment, any_server)

    # Once to warm up: Redis 8 counts the memory of the scripts too, and all keep buffers.
    (empty, first), (full, use) = publish(), publish()
    published = full - empty
    assert use.waiting < 0.1 * published
    kept = (use.kept or 0) - (first.kept or 0)
    assert kept + use.streams - first.streams == pytest.approx(published, rel=0.2)
    before = used(deployment)
    later_ms = deployment.now() + SOON_MS
    fill(deployment, MANY // 10, 1, due_at=later_ms)
    fill(deployment, MANY // 10, 20, due_at=later_ms)
    after = estimated(deployment, any_server)
    grown = used(deployment) - before - (after.streams - use.streams)
    assert after.waiting - use.waiting == pytest.approx(grown, rel=0.2)
    assert after.kept == pytest.approx(use.kept, rel=0.3)
    assert after.used == pytest.approx(used(deployment), rel=0.1)


def test_memory__counts_no_other_keys(deploy: Deploy, any_server: Server) -> None:
    """Other programs, and other deployments, are in the same database."""
    deployment = deploy(any_server)
    fill(deployment, 10, 1)
    harness = deployment.worker_harness()
    while harness.step():
        pass
    before = estimated(deployment, any_server)
    with deployment.client.pipeline(transaction=False) as pipeline:
        for number in range(MANY):
            pipeline.set(f"other:{number}", "x" * 100, px=SOON_MS)
            pipeline.hset(f"{{gnx:0}}:notification:{number}", "record", "x" * 100)
        pipeline.execute()
    after = estimated(deployment, any_server)
    # Of ten among thousands a page has some or none: the scale is right.
    assert (after.kept or 0) <= 40 * (before.kept or 0)
    assert after.waiting == before.waiting
    deployment.client.flushall()


def test_memory__costs_no_more_beside_more(deploy: Deploy, any_server: Server) -> None:
    """The number of commands has a bound that does not grow with what is there."""
    deployment = deploy(any_server)
    fill(deployment, MANY, 1)
    deployment.client.config_resetstat()
    use = estimated(deployment, any_server)
    stats: Any = deployment.client.info("commandstats")
    assert len(use.samples) <= 150 + 400
    assert sum(one["calls"] for one in stats.values()) < 3_500
    names = {name.removeprefix("cmdstat_").partition("|")[0] for name in stats}
    assert not names & {"keys", "zscan", "hgetall", "dbsize", "randomkey"}
    assert stats["cmdstat_scan"]["calls"] <= 8


def test_memory__survives_what_lies_wrong(deploy: Deploy, any_server: Server) -> None:
    """Keys of a wrong type and members that name nothing count for nothing."""
    deployment = deploy(any_server)
    deployment.client.set(deployment.keys.dead("push"), "no index")
    deployment.client.zadd(
        deployment.keys.schedule("push"), {"nonsense": 1, "f" * 32 + "/push:u": 2}
    )
    deployment.client.set(deployment.keys.notification("a" * 32), "no hash")
    use = estimated(deployment, any_server)
    assert (use.kept, use.samples) == (0, ())
    deployment.client.flushall()


def test_pace__is_read_from_the_streams(deploy: Deploy, any_server: Server) -> None:
    """The rate, what each event leaves behind, and for how long, with keys and without."""
    deployment = deploy(any_server, retention__settled_ms=600_000)
    for at in range(BATCH):
        keyed = {"idempotency_key": f"key-{at}"} if at % 2 else {}
        deployment.notify(f"user-{at}", f"other-{at}", **keyed)
    harness = deployment.worker_harness()
    while harness.step():
        pass
    opened = connect(deployment.settings_at(any_server.url))
    pace = read_pace(opened)
    opened.close()
    assert pace.events == 2 * BATCH
    assert pace.per_second == pytest.approx(pace.events * 1000 / pace.span_ms)
    assert 200 < pace.bytes_each < 1000
    assert 600_000 < pace.keep_ms < 86_400_000


def test_pace__of_nothing_and_of_rubbish_is_zero(deploy: Deploy, any_server: Server) -> None:
    """An empty stream, a key of another type and foreign entries say nothing."""
    deployment = deploy(any_server)
    opened = connect(deployment.settings_at(any_server.url))
    assert (read_pace(opened).events, read_pace(opened).kept_bytes) == (0, 0)
    deployment.client.xadd(deployment.keys.stream, {"event_id": b"\xff", "a": "b"})
    assert read_pace(opened).kept_bytes == 0
    deployment.client.set(deployment.keys.stream, "no stream")
    assert read_pace(opened).events == 0
    opened.close()
    deployment.client.flushall()
