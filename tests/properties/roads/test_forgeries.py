"""Forged records and states: the script publishes only what Python would, byte for byte."""

from __future__ import annotations

import io
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from galaxy_notify.encoding import MsgpackEncoder
from galaxy_notify.model.ids import event_id
from galaxy_notify.model.notification import decode_notification
from galaxy_notify.model.route import PUBLISHABLE, body_of, decode_route
from galaxy_notify.telemetry.logs import configure_logs
from tests.properties.roads.backlogs import KEYS, NOW, Planted, plant
from tests.properties.roads.forgeries import ROUTE, forged, sound
from tests.properties.roads.road import assert_same, both_roads
from tests.scripts.support.shard import WORKER, Shard, shard_on
from tests.support.seed import seed_of_run
from tests.support.servers import Server
from tests.support.telemetry import logging_restored

_EACH = 750
#: The one of `make test`, and those that differ from run to run.
_SEEDS = [
    "0",
    *(pytest.param(f"{place}", marks=pytest.mark.extended) for place in range(1, 9)),
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing: each forged route would have a line of its own."""
    with logging_restored():
        configure_logs("error", "json", io.StringIO())
        yield


def _backlog(seed: str) -> tuple[dict[str, Planted], dict[str, Planted]]:
    """Return the sound notifications and the forged ones, by member; their order is mixed."""
    random = Random(seed if seed == "0" else f"{seed}:{seed_of_run()}")
    numbers = random.sample(range(1, 10**6), 2 * _EACH)
    good = [sound(random, number) for number in numbers[:_EACH]]
    bad = [forged(random, number) for number in numbers[_EACH:]]
    by_member = [{f"{one.notification_id}/{ROUTE}": one for one in found} for found in (good, bad)]
    return by_member[0], by_member[1]


def _published_by_script(shard: Shard) -> dict[str, dict[str, bytes]]:
    """Run the script until nothing is due, setting aside what it leaves; return its events."""
    schedule = KEYS.schedule("push")
    while (published := shard.publish()).word != "idle":
        assert published.word == "published"
        assert published.routes or published.left
        left: Any = shard.client.zrange(schedule, 0, published.left - 1) if published.left else []
        if left:
            shard.client.zrem(schedule, *left)
    return {fields["event_id"].decode(): fields for _, fields in shard.events()}


def _event_of(planted: Planted) -> tuple[str, dict[str, bytes], bytes]:
    """Return the event that Python makes of a route, and the body of its state afterwards.

    Raises `Corrupt`, or fails, if Python does not publish it.
    """
    route = decode_route(planted.routes[ROUTE].state)
    notification = decode_notification(planted.notification_id, planted.record)
    assert route.status in PUBLISHABLE
    assert route.due_at_ms <= NOW
    expires = notification.expires_at_ms if route.generation == 1 else None
    assert expires is None or expires > NOW
    name = event_id(f"{planted.notification_id}/{ROUTE}", route.generation)
    texts = {
        "user_id": "u1",
        "event_type": notification.type,
        "event_id": name,
        "request_id": notification.request_id,
        "trace_id": notification.trace_id,
        "traceparent": notification.traceparent,
    }
    fields = {name: text.encode() for name, text in texts.items() if text}
    fields["payload_bytes"] = MsgpackEncoder().encode(notification, route)
    return name, fields, body_of(route.published(WORKER))


@pytest.mark.parametrize("seed", _SEEDS)
def test_script__publishes_of_forgeries_what_python_would(seed: str, any_server: Server) -> None:
    """No error, all sound neighbours, and of the forged ones only those that Python can read."""
    good, bad = _backlog(seed)
    with shard_on(any_server) as shard:
        plant(shard.client, (*good.values(), *bad.values()))
        events = _published_by_script(shard)
        published = {name.partition("#")[0] for name in events}
        assert good.keys() <= published
        for member in published:
            planted = good.get(member) or bad[member]
            name, fields, body = _event_of(planted)
            assert events[name] == fields
            before, after = planted.routes[ROUTE].state, shard.state(member)
            assert after.startswith(b"1P%d" % NOW + before[15:28] + body)
        for member in bad.keys() - published:
            assert shard.state(member) == bad[member].routes[ROUTE].state
        # Both kinds of forgery are among them.
        assert 20 < len(published & bad.keys()) < 730


@pytest.mark.parametrize("seed", _SEEDS)
def test_roads__end_forgeries_alike(seed: str, any_server: Server) -> None:
    """Each forged route ends by the script with its rest as it ends by leases only."""
    good, bad = _backlog(seed)
    with both_roads(any_server) as roads:
        for road in roads:
            road.drain((*good.values(), *bad.values()))
        script, leased = roads
        assert_same(script.content(), leased.content())
        assert script.items["route_publish"] >= _EACH
