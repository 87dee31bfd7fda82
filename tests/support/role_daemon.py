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
from galaxy_notify.redis_state.consumer_names import StreamPlace, forget_consumers
from galaxy_notify.redis_state.janitor_store import JanitorStore
from galaxy_notify.redis_state.joining import join_deployment
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.store import Store
from tests.support.faults import FAULTS
from tests.support.roles import Stage, step
from tests.support.site import Site
from tests.support.wait import wait_until

OLD_MS = 3_600_000


@step(Role.DAEMON)
def joins(stage: Stage) -> Iterator[None]:
    site = stage.found()
    site.client.flushall()

    async def join() -> None:
        client = open_async(site.settings_at(stage.url), connections=1, name="x")
        try:
            for _ in range(2):
                await run_flow(client, join_deployment("gn", site.deployment.shared, lead=True))
            await read_gauges(client, site.keys, ["push"])
        finally:
            await client.aclose()

    yield
    asyncio.run(join())


@step(Role.DAEMON)
def publishes(stage: Stage) -> Iterator[None]:
    site = stage.found()
    site.notify("u1", "u2")
    yield
    site.station(url=stage.url).step()


def _broken(notification: Notification, _: Route) -> bytes:
    if notification.title == "later":
        raise TransientEncodingError("not yet")
    raise ValueError("never")


@step(Role.DAEMON)
def retries_buries_and_expires(stage: Stage) -> Iterator[None]:
    site = stage.found()
    station = site.station(_broken, url=stage.url)
    site.notify(title="later")
    site.notify()
    site.notify(expires_at=site.now() + 100, title="later")
    wait = site.now() + 101
    wait_until(lambda: site.now() > wait, "it has expired")
    yield
    station.step()


@step(Role.DAEMON)
def sets_right(stage: Stage) -> Iterator[None]:
    site = stage.found(worker__lease_ttl_ms=200)
    site.whole = False
    for kind in ("vanished", "malformed", "early", "already-ended", "record-missing"):
        FAULTS[kind](site)
    site.notify("u1")
    assert site.claim("push", 0)
    site.move_leases(1)
    site.client.zadd(site.keys.schedule("push"), dict.fromkeys(site.due(), 1))
    station = site.station(url=stage.url)
    yield
    for _ in range(4):
        station.step()


@step(Role.DAEMON)
def checks_all_state(stage: Stage) -> Iterator[None]:
    site = stage.found(worker__channels=["push", "email"])
    site.whole = False
    for kind in sorted(REPAIRED):
        FAULTS[kind](site)
    station = site.station(url=stage.url)
    yield
    station.check_state()


@step(Role.DAEMON)
def takes_an_event_back(stage: Stage) -> Iterator[None]:
    site = stage.found()
    site.whole = False
    made = site.notify("u1")

    def vanishing(notification: Notification, _: Route) -> bytes:
        site.client.delete(site.keys.notification(made))
        return notification.packed

    station = site.station(vanishing, url=stage.url)
    yield
    station.step()


@step(Role.DAEMON)
def keeps_the_stream_short(stage: Stage) -> Iterator[None]:
    site = stage.found(gateway__max_len=10)
    stream = site.keys.stream
    site.client.xgroup_create(stream, "slow", id="0", mkstream=True)
    site.client.xgroup_create(stream, "new", id="0")
    site.notify(*(f"u{n}" for n in range(19)))
    site.station().step()
    site.client.xreadgroup("slow", "gw", {stream: ">"}, count=12)
    ids: Any = site.client.xrange(stream, count=8)
    site.client.xack(stream, "slow", *(name for name, _ in ids))
    station = site.station(url=stage.url)
    yield
    station.tidy()


@step(Role.DAEMON)
def trims_always(stage: Stage) -> Iterator[None]:
    site = stage.found(gateway__trim="always", gateway__max_len=10)
    stream = site.keys.stream
    site.client.xgroup_create(stream, "slow", id="0", mkstream=True)
    site.notify(*(f"u{n}" for n in range(19)))
    site.station().step()
    site.client.xreadgroup("slow", "gw", {stream: ">"}, count=2)
    site.client.hset(site.keys.lost, "dropped", 1)
    station = site.station(url=stage.url)
    yield
    station.tidy()


@step(Role.DAEMON)
def forgets_consumers(stage: Stage) -> Iterator[None]:
    site = stage.found()
    stream = site.keys.stream
    site.client.xgroup_create(stream, "gateway", id="0", mkstream=True)
    for name in ("gw-1", "gw-2"):
        site.client.xgroup_createconsumer(stream, "gateway", name)

    async def forget() -> None:
        client = open_async(site.settings_at(stage.url), connections=1, name="x")
        try:
            place = StreamPlace(stream, site.keys.never)
            await forget_consumers(client, place, "gateway", -1)
        except RedisFault:
            assert stage.denied()
        finally:
            await client.aclose()

    yield
    asyncio.run(forget())


@step(Role.DAEMON)
def tidies(stage: Stage) -> Iterator[None]:
    site = stage.found(retention__dead_max=1, retention__dead_ms=1)
    site.bury(number=3)
    site.accept()
    assert site.claim("push", 0)
    site.move_leases(site.now() + OLD_MS)
    site.client.delete(site.keys.meta)
    made = site.notify("u1")
    site.client.delete(site.keys.notification(made))
    station = site.station(url=stage.url)
    yield
    station.tidy()
    station.trim_list()


@step(Role.DAEMON)
def forgets_what_is_listed(stage: Stage) -> Iterator[None]:
    site = stage.found()
    for made in (site.notify("u1"), site.notify("u2")):
        site.client.delete(site.keys.notification(made))
    station = site.station(url=stage.url)
    yield
    station.trim_list()


@step(Role.DAEMON)
def tells_that_itlives(stage: Stage) -> Iterator[None]:
    site = stage.found()

    async def live() -> None:
        client = open_async(site.settings_at(stage.url), connections=1, name="x")
        try:
            await lives(client, site)
        finally:
            await client.aclose()

    yield
    asyncio.run(live())


async def lives(client: redis.asyncio.Redis, site: Site) -> None:
    """Do what a worker does beside its batches."""
    store = Store(client, site.keys, lambda *_: None)
    await store.wait_for_wakeup(["push"], 0.01)
    await store.notify_channels(["push"])
    await store.identify("host-1", {"host": "h"}, site.now())
    await store.retire("host-1")
    janitor = JanitorStore(client, site.keys, site.deployment.shared)
    for _ in range(2):
        await janitor.take_lock("host-1")
    await janitor.drop_lock("host-1")


@step(Role.DAEMON, lasts=True)
def works(stage: Stage) -> Iterator[None]:
    site = stage.found()
    station = site.station(url=stage.url)
    yield
    with station.running():
        site.notify("u1")
        wait_until(lambda: site.entries() or stage.denied(), "it is published, or denied")
