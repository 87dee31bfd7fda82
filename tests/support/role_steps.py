"""What each role does, as steps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import redis.asyncio

from galaxy_notify import AsyncNotifier, Notifier
from galaxy_notify.errors import (
    GalaxyNotifyError,
    TransientEncodingError,
)
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from galaxy_notify.operations import bench
from galaxy_notify.redis_state.access import open_async
from galaxy_notify.redis_state.deployment import join_deployment
from galaxy_notify.redis_state.gauges import read_gauges
from galaxy_notify.redis_state.group import GroupMember, MarkLimits, Parking, Waiting
from galaxy_notify.redis_state.group_place import GroupPlace
from galaxy_notify.redis_state.place import open_place
from galaxy_notify.redis_state.reading import read_all
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.store import Store
from galaxy_notify.redis_state.stream import follow
from galaxy_notify.redis_state.upkeep import Upkeep
from galaxy_notify.settings import settings_from
from tests.support import events
from tests.support.faults import FAULTS
from tests.support.intents import PLAIN
from tests.support.roles import Stage, step
from tests.support.site import Site, member_of
from tests.support.wait import until, wait_until

OLD_MS = 3_600_000


# --- producer --------------------------------------------------------------------------------


@step(Role.PRODUCER)
def founds(stage: Stage) -> Iterator[None]:
    yield
    with Notifier.from_url(stage.url) as notifier:
        notifier.accept(PLAIN)


@step(Role.PRODUCER)
def accepts(stage: Stage) -> Iterator[None]:
    site = stage.found(limits__max_routes=2)
    keyed = {**PLAIN, "idempotency_key": "k"}
    yield
    with Notifier(site.settings_at(stage.url)) as notifier:
        notifier.accept(keyed)
        notifier.accept(keyed)
        with suppress(GalaxyNotifyError):
            notifier.accept({**keyed, "title": "other"})
        first, _ = notifier.accept_many([{**PLAIN, "recipients": ["a", "b", "c"]}, PLAIN])
        later = notifier.accept({**PLAIN, "due_at": site.now() + OLD_MS})
        notifier.cancel(first.notification_id or "")
        notifier.cancel(later.notification_id or "", route="push:user-7")


@step(Role.PRODUCER)
def accepts_asynchronously(stage: Stage) -> Iterator[None]:
    site = stage.found()

    async def produce() -> None:
        async with AsyncNotifier(site.settings_at(stage.url)) as notifier:
            receipt = await notifier.accept(PLAIN)
            await notifier.accept_many([PLAIN, PLAIN])
            await notifier.cancel(receipt.notification_id or "")

    yield
    asyncio.run(produce())


@step(Role.PRODUCER)
def takes_back(stage: Stage) -> Iterator[None]:
    site = stage.found(worker__channels=["push", "email"])
    site.client.set(site.keys.schedule("email"), "x")
    yield
    with Notifier(site.settings_at(stage.url)) as notifier, suppress(GalaxyNotifyError):
        notifier.accept({**PLAIN, "channels": ["push", "email"]})


@step(Role.PRODUCER, Role.OPERATOR)
def hands_in_by_command(stage: Stage) -> Iterator[None]:
    stage.found()
    yield
    told = stage.cli("accept", stdin=json.dumps(PLAIN))
    stage.cli("cancel", json.loads(told)["notification_id"])


# --- daemon ----------------------------------------------------------------------------------


@step(Role.DAEMON)
def joins(stage: Stage) -> Iterator[None]:
    site = stage.found()
    site.client.flushall()

    async def join() -> None:
        client = open_async(site.settings_at(stage.url), connections=1, name="x")
        try:
            for _ in range(2):
                await join_deployment(client, "gn", site.place.deployment, lead=True)
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
    site = stage.found(gateway__trim="always")
    station = site.station(url=stage.url)
    yield
    station.tidy()


@step(Role.DAEMON)
def tidies(stage: Stage) -> Iterator[None]:
    site = stage.found(retention__dead_max=1, retention__dead_ms=1)
    site.bury(number=3)
    site.accept()
    assert site.claim("push", 0)
    site.move_leases(site.now() + OLD_MS)
    site.client.delete(site.keys.meta)
    station = site.station(url=stage.url)
    yield
    station.tidy()


@step(Role.DAEMON)
def tells_that_it_lives(stage: Stage) -> Iterator[None]:
    site = stage.found()

    async def live() -> None:
        client = open_async(site.settings_at(stage.url), connections=1, name="x")
        try:
            await _lives(client, site)
        finally:
            await client.aclose()

    yield
    asyncio.run(live())


async def _lives(client: redis.asyncio.Redis, site: Site) -> None:
    store = Store(client, site.keys, lambda *_: None)
    await store.woken(["push"], 0.01)
    await store.rouse(["push"])
    await store.beat("host-1", {"host": "h"}, site.now())
    await store.retire("host-1")
    upkeep = Upkeep(client, site.keys, site.place.deployment)
    for _ in range(2):
        await upkeep.take_lock("host-1")
    await upkeep.drop_lock("host-1")


@step(Role.DAEMON, lasts=True)
def works(stage: Stage) -> Iterator[None]:
    site = stage.found()
    station = site.station(url=stage.url)
    yield
    with station.running():
        site.notify("u1")
        wait_until(lambda: site.entries() or stage.denied(), "it is published, or denied")


# --- consumer --------------------------------------------------------------------------------


@step(Role.CONSUMER, lasts=True)
def consumes(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.found(client)
        client.xgroup_create(events.KEYS.stream, "gateway", id="0", mkstream=True)
        events.publish(client, 1, 2, 3)
        client.xreadgroup("gateway", "gone", {events.KEYS.stream: ">"}, count=1)
        events.publish(client, 4)
        client.xadd(events.KEYS.stream, {"nothing": "of ours"})
        seen = events.Seen(3)

        def done() -> bool:
            is_done = events.pending(client) == 0 and len(events.parked(client)) == 2
            return is_done or bool(stage.denied())

        async def consume() -> None:
            async with events.consuming(stage.url, seen) as consumer:
                await until(done, "all is handled or parked, or denied")
                await consumer.report()

        yield
        asyncio.run(consume())


@step(Role.CONSUMER)
def calls_for_a_group(stage: Stage) -> Iterator[None]:
    keys = events.KEYS
    with stage.server.client() as client:
        events.found(client)
        events.publish(client, 1, 2, 3)

        async def call() -> None:
            settings = settings_from({"redis": {"url": stage.url}})
            place = await GroupPlace.open(settings, "gw-1")
            assert place is not None
            member = GroupMember(place.client, keys, "gateway", "gw-1")
            try:
                await member.join()
                first, second, third = await member.read(3, 1)
                client.xdel(keys.stream, third.stream_id)
                await member.waiting(0, 0, 10)
                for entry in (second, third):
                    await member.take(Waiting(entry.stream_id, "gw-1", 0, 1), 0)
                await member.exists(first.stream_id)
                await member.seen([events.event_id(1)])
                await member.release([first.stream_id], 10)
                marks = MarkLimits(1000, 1000)
                await member.finish({first.stream_id: events.event_id(1)}, marks)
                await member.park(Parking(second.stream_id, 1, "why"), 10)
                await place.reports()
            finally:
                await place.close()

        yield
        asyncio.run(call())


# --- operator and reader ---------------------------------------------------------------------


def _worked(stage: Stage) -> tuple[Site, str]:
    """Found a deployment with something of everything; return the id of a dead one."""
    site = stage.found()
    member = site.bury(number=2)[0]
    site.notify("u1", "u2")
    site.accept()
    site.client.xgroup_create(site.keys.stream, "gateway", id="0", mkstream=True)
    events.publish(site.client, 7)
    site.client.zadd(site.keys.workers, {"host-1": site.now()})
    site.client.hset(site.keys.worker("host-1"), mapping={"progress_ms": site.now()})
    return site, member


@step(Role.OPERATOR, Role.READER)
def looks(stage: Stage) -> Iterator[None]:
    site, member = _worked(stage)
    waiting = member_of(site.notify("u9"), "u9")
    site.claim("push", 0)
    yield
    for command in ("status", "stream tail", "stream groups", "config show", "dead stats"):
        stage.cli(*command.split())
    stage.cli("show", waiting.partition("/")[0])
    stage.cli("show", member)


@step(Role.OPERATOR, Role.READER)
def looks_at_dead_letters(stage: Stage) -> Iterator[None]:
    _, member = _worked(stage)
    yield
    stage.cli("dead", "ls")
    stage.cli("dead", "show", member)
    stage.cli("dead", "export", "--all")


@step(Role.OPERATOR, Role.READER)
def compares(stage: Stage) -> Iterator[None]:
    site = stage.found(worker__channels=["push", "email"])
    site.whole = False
    for plant in FAULTS.values():
        plant(site)
    yield
    stage.cli("fsck", code=1)


@step(Role.OPERATOR, Role.READER)
def follows(stage: Stage) -> Iterator[None]:
    site, _ = _worked(stage)
    yield
    place = open_place(site.settings_at(stage.url))
    arriving = follow(place.client, place.all_keys, 10)
    assert next(arriving)
    site.client.xadd(site.keys.stream, events.event_fields(8))
    next(arriving)
    place.close()


@step(Role.OPERATOR, Role.READER)
def examines(stage: Stage) -> Iterator[None]:
    _worked(stage)
    yield
    stage.cli("doctor")


@step(Role.OPERATOR)
def mends(stage: Stage) -> Iterator[None]:
    site = stage.found(worker__channels=["push", "email"])
    site.whole = False
    for plant in FAULTS.values():
        plant(site)
    yield
    stage.cli("fsck", "--fix")


@step(Role.OPERATOR)
def moves_dead_letters(stage: Stage) -> Iterator[None]:
    site, member = _worked(stage)
    site.client.zadd(site.keys.dead("push"), {"nobody": 1})
    yield
    stage.cli("dead", "replay", member, "--yes")
    stage.cli("dead", "purge", "--all", "--yes")


@step(Role.OPERATOR)
def pauses_and_drops(stage: Stage) -> Iterator[None]:
    _worked(stage)
    yield
    stage.cli("pause", "push")
    stage.cli("resume", "push")
    stage.cli("health", code=0)
    stage.cli("stream", "drop-group", "gateway", "--yes")


@step(Role.CONSUMER, lasts=True)
def consumes_by_command(stage: Stage) -> Iterator[None]:
    _worked(stage)
    yield
    stage.cli("stream", "consume", "--group", "g", "--consumer", "c", "--count", "1")


@step(Role.OPERATOR)
def measures_in_pieces(stage: Stage) -> Iterator[None]:
    site = stage.found(redis__prefix="gn-bench-0")
    yield
    settings = site.settings_at(stage.url)
    place = open_place(settings)
    bench.check_empty(open_place(bench.throwaway_settings(settings)))
    bench.floor_rate(place, 10, b"x")
    read_all(place, [["SET", f"{site.keys.tag}round-trip", 1]])
    site.client.flushall()
    with Notifier(settings) as notifier:
        notifier.accept(PLAIN)
    station = site.station(url=stage.url)
    station.step()
    station.tidy()
    station.run(_lives(station.client, site))
    assert bench.remove(place)


@step(Role.OPERATOR, lasts=True)
def measures(stage: Stage) -> Iterator[None]:
    yield
    stage.cli("bench", "--routes", "100")
