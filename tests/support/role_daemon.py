"""What a daemon does, as steps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import redis.asyncio

from galaxy_notify.errors import (
    TransientEncodingError,
)
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from galaxy_notify.publishing.state_check import REPAIRED
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_inspect.gauges import read_gauges
from galaxy_notify.redis_state.consumer_names import forget_consumers
from galaxy_notify.redis_state.deliveries import delivery_keys
from galaxy_notify.redis_state.feed_backlog import backlog_keys
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.janitor_store import JanitorStore
from galaxy_notify.redis_state.joining import join_deployment
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.store import Store
from tests.support.deployment import DeploymentFixture
from tests.support.faults import FAULTS
from tests.support.roles import Stage, step
from tests.support.wait import wait_until

OLD_MS = 3_600_000


@step(Role.DAEMON)
def joins(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    deployment.client.flushall()

    async def join() -> None:
        client = open_async(deployment.settings_at(stage.url), connections=1, name="x")
        try:
            for _ in range(2):
                await run_flow(
                    client, join_deployment("gn", deployment.connected.shared, lead=True)
                )
            await read_gauges(client, deployment.keys, ["push"])
        finally:
            await client.aclose()

    yield
    asyncio.run(join())


@step(Role.DAEMON)
def publishes(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    deployment.notify("u1", "u2")
    yield
    deployment.worker_harness(url=stage.url).step()


def _broken(notification: Notification, _: Route) -> bytes:
    if notification.title == "later":
        raise TransientEncodingError("not yet")
    raise ValueError("never")


@step(Role.DAEMON)
def retries_buries_and_expires(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    harness = deployment.worker_harness(_broken, url=stage.url)
    deployment.notify(title="later")
    deployment.notify()
    _, end = deployment.notify_for("u1", 100, title="later")
    wait_until(lambda: deployment.now() > end, "it has expired")
    yield
    harness.step()


@step(Role.DAEMON)
def sets_right(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(worker__lease_ttl_ms=200)
    deployment.whole = False
    for kind in ("vanished", "malformed", "early", "already-ended", "record-missing"):
        FAULTS[kind](deployment)
    deployment.notify("u1")
    assert deployment.claim("push", 0)
    deployment.move_leases(1)
    deployment.client.zadd(deployment.keys.schedule("push"), dict.fromkeys(deployment.due(), 1))
    harness = deployment.worker_harness(url=stage.url)
    yield
    for _ in range(4):
        harness.step()


@step(Role.DAEMON)
def takes_over_what_was_abandoned(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    deployment.notify("u1")
    assert deployment.claim("push", 0)
    deployment.move_leases(deployment.now() - OLD_MS)
    harness = deployment.worker_harness(url=stage.url)
    yield
    harness.step()


@step(Role.DAEMON)
def checks_all_state(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(worker__channels=["push", "email"])
    deployment.whole = False
    for kind in sorted(REPAIRED):
        FAULTS[kind](deployment)
    harness = deployment.worker_harness(url=stage.url)
    yield
    harness.check_state()


@step(Role.DAEMON)
def takes_an_event_back(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    deployment.whole = False
    made = deployment.notify("u1")

    def vanishing(notification: Notification, _: Route) -> bytes:
        deployment.client.delete(deployment.keys.notification(made))
        return notification.packed

    harness = deployment.worker_harness(vanishing, url=stage.url)
    yield
    harness.step()


@step(Role.DAEMON)
def keeps_the_stream_short(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(gateway__max_len=10)
    stream = deployment.keys.stream
    deployment.client.xgroup_create(stream, "slow", id="0", mkstream=True)
    deployment.client.xgroup_create(stream, "new", id="0")
    deployment.notify(*(f"u{n}" for n in range(19)))
    deployment.worker_harness().step()
    deployment.client.xreadgroup("slow", "gw", {stream: ">"}, count=12)
    ids: Any = deployment.client.xrange(stream, count=8)
    deployment.client.xack(stream, "slow", *(name for name, _ in ids))
    harness = deployment.worker_harness(url=stage.url)
    yield
    harness.tidy()


@step(Role.DAEMON)
def trims_always(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(gateway__trim="always", gateway__max_len=10)
    stream = deployment.keys.stream
    deployment.client.xgroup_create(stream, "slow", id="0", mkstream=True)
    deployment.notify(*(f"u{n}" for n in range(19)))
    deployment.worker_harness().step()
    deployment.client.xreadgroup("slow", "gw", {stream: ">"}, count=2)
    deployment.client.hset(deployment.keys.lost, "dropped", 1)
    harness = deployment.worker_harness(url=stage.url)
    yield
    harness.tidy()


@step(Role.DAEMON)
def moves_events_for_the_feed(stage: Stage) -> Iterator[None]:
    url = "postgresql://feed@localhost/feed"
    deployment = stage.deploy(gateway__max_len=10, feed__url=url)
    deployment.notify(*(f"u{n}" for n in range(9)))
    deployment.worker_harness().step()
    harness = deployment.worker_harness(url=stage.url)
    yield
    harness.tidy()


@step(Role.DAEMON)
def moves_what_no_writer_reads(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(gateway__max_len=10)
    keys = deployment.keys
    for stream in (keys.stream, keys.feed_backlog):
        deployment.client.xgroup_create(stream, FEED_GROUP, id="0", mkstream=True)
    deployment.client.zadd(keys.feed_writers, {"gone": 1})
    deployment.notify(*(f"u{n}" for n in range(9)))
    deployment.worker_harness().step()
    deployment.client.xreadgroup(FEED_GROUP, "gone", {keys.stream: ">"}, count=1)
    harness = deployment.worker_harness(url=stage.url)
    yield
    harness.tidy()


@step(Role.DAEMON)
def forgets_consumers(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    stream = deployment.keys.stream
    deployment.client.xgroup_create(stream, "gateway", id="0", mkstream=True)
    backlog = backlog_keys(deployment.keys)
    deliveries = delivery_keys(deployment.keys)
    for other in (backlog, deliveries):
        deployment.client.xgroup_create(other.stream, "gateway", id="0", mkstream=True)
    for name in ("gw-1", "gw-2"):
        for keys in (deployment.keys, backlog, deliveries):
            deployment.client.xgroup_createconsumer(keys.stream, "gateway", name)

    async def forget() -> None:
        client = open_async(deployment.settings_at(stage.url), connections=1, name="x")
        try:
            for keys in (deployment.keys, backlog, deliveries):
                await forget_consumers(client, keys, "gateway", -1)
        except RedisFault:
            assert stage.denied()
        finally:
            await client.aclose()

    yield
    asyncio.run(forget())


@step(Role.DAEMON)
def tidies(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(retention__dead_max=1, retention__dead_ms=1)
    deployment.bury(number=3)
    deployment.accept()
    assert deployment.claim("push", 0)
    deployment.move_leases(deployment.now() + OLD_MS)
    deployment.client.delete(deployment.keys.meta)
    made = deployment.notify("u1")
    deployment.client.delete(deployment.keys.notification(made))
    harness = deployment.worker_harness(url=stage.url)
    yield
    harness.tidy()
    harness.trim_list()


@step(Role.DAEMON)
def forgets_what_is_listed(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    for made in (deployment.notify("u1"), deployment.notify("u2")):
        deployment.client.delete(deployment.keys.notification(made))
    harness = deployment.worker_harness(url=stage.url)
    yield
    harness.trim_list()


@step(Role.DAEMON)
def tells_that_itlives(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()

    async def live() -> None:
        client = open_async(deployment.settings_at(stage.url), connections=1, name="x")
        try:
            await lives(client, deployment)
        finally:
            await client.aclose()

    yield
    asyncio.run(live())


async def lives(client: redis.asyncio.Redis, deployment: DeploymentFixture) -> None:
    """Do what a worker does beside its batches."""
    store = Store(client, deployment.keys, lambda *_: None)
    await store.wait_for_wakeup(["push"], 0.01)
    await store.notify_channels(["push"])
    await store.identify("host-1", {"host": "h"}, deployment.now())
    await store.retire("host-1")
    janitor = JanitorStore(client, deployment.keys, deployment.connected.shared)
    for _ in range(2):
        await janitor.take_lock("host-1")
    await janitor.drop_lock("host-1")


@step(Role.DAEMON, lasts=True)
def works(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    harness = deployment.worker_harness(url=stage.url)
    yield
    with harness.running():
        deployment.notify("u1")
        wait_until(lambda: deployment.entries() or stage.denied(), "it is published, or denied")
